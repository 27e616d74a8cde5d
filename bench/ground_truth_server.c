/* The ground-truth server: an OpenAI-compatible server on loopback whose every instant is known.
 *
 * It answers chat completions and completions, streaming or not, with made-up tokens at set times,
 * and logs the kernel's arrival stamp of each request and the time of each token's write. A client
 * measured against it can therefore be told exactly how wrong its numbers are. It also produces,
 * on demand, the faults that a client must survive.
 *
 * One thread: epoll for the sockets, a binary heap of deadlines for what is due.
 * All times are nanoseconds of CLOCK_MONOTONIC (see kernel_clock.h).
 *
 * API:      POST /v1/chat/completions   POST /v1/completions   GET /v1/models   GET /health
 * Control:  /__set?key=value&...   change the settings of the requests to come
 *           /__dump                the log, as JSON
 *           /__reset               forget the log, back to the settings of the command line
 *           /__stats               counters and CPU time
 *           /__last                the bytes of the latest API request as they arrived
 * Settings of a single request: header "X-Set: key=value&...", header "X-Fault: NAME", or the path
 * prefix /with/key=value&.../v1/...
 *
 * Build: gcc -O2 -Wall -Wextra -Werror ground_truth_server.c -o ground_truth_server
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bytes.h"
#include "ground_truth_settings.h"
#include "http_request.h"
#include "kernel_clock.h"

enum {
    LISTEN_BACKLOG = 8192,
    EVENTS_PER_WAIT = 512,
    STEPS_PER_PASS = 256, /* then the sockets are looked at again */
    READ_BYTES = 64 * 1024,
    FILLER_BYTES = 64 * 1024,
    MISSING_BODY_BYTES = 1000, /* what the short-body fault keeps back */
    EXIT_FAULT_CODE = 3,
};

#define NOT_QUEUED SIZE_MAX
#define UNKNOWN_NS (-1)

static const char MODEL[] = "ground-truth";
static const char CREATED[] = "1700000000";

/* ---- state ---- */

/* One API request in the log. */
struct record {
    uint32_t id;
    uint32_t connection;
    enum fault fault;
    int status;
    bool chat, stream;
    bool stamped;     /* both arrivals are the kernel's stamps */
    bool delayed;     /* some write had to wait for the client to read */
    bool client_gone; /* the client closed before the end */
    int64_t accept_ns;
    int64_t arrival_ns;     /* first byte of the request */
    int64_t arrival_end_ns; /* last byte */
    int64_t header_ns;
    int64_t role_ns;
    int64_t end_ns;
    size_t body_bytes;
    long tokens; /* the answer's full length, reasoning included */
    long reasoning;
    long written;
    int64_t *before_ns; /* per token: just before its write, and just after */
    int64_t *after_ns;
};

enum framing { CHUNKED, BY_LENGTH, BY_CLOSE };

enum phase {
    STREAMING, /* next is a header, role, comment or token */
    WHOLE,     /* next is a body in one piece */
    SILENT,    /* nothing will come */
    FILLING,   /* bytes without end */
};

struct response {
    struct settings settings;
    size_t record; /* index: the records move */
    enum phase phase;
    enum framing framing;
    bool chat, usage, close_after;
    bool at_limit; /* finish_reason is "length" */
    bool header_sent, role_sent;
    long total, reasoning, sent; /* tokens */
    int64_t start_ns;
    int64_t comment_ns;
};

struct arrival {
    int64_t ns;
    bool stamped;
};

struct connection {
    int fd; /* -1: closed, freed at the end of the pass */
    uint32_t id;
    int64_t accept_ns;
    struct buffer in;
    struct arrival first, last; /* of the bytes in `in` */
    bool continue_sent;
    struct buffer out; /* what the socket did not take */
    size_t out_sent;
    bool watching_writes, close_when_drained;
    bool busy; /* `response` is under way */
    struct response response;
    size_t heap_index;
    int64_t due_ns;
    struct connection *next_closed;
};

static struct {
    int listener, epoll;
    struct settings initial, settings;
    const char *log_path, *api_key;
    struct record *records;
    size_t record_count, record_capacity;
    uint64_t tokens, writes;
    uint32_t connections, open, most_open;
    struct connection **heap;
    size_t heap_count, heap_capacity;
    struct connection *closed;
    struct buffer last_request;
    struct buffer scratch; /* what the next write is built in */
    struct buffer event;   /* one event while it is built */
} server;

static volatile sig_atomic_t stop_requested;

/* ---- heap of deadlines ---- */

static void heap_place(size_t index, struct connection *c)
{
    server.heap[index] = c;
    c->heap_index = index;
}

static void heap_up(size_t index)
{
    struct connection *c = server.heap[index];
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (server.heap[parent]->due_ns <= c->due_ns)
            break;
        heap_place(index, server.heap[parent]);
        index = parent;
    }
    heap_place(index, c);
}

static void heap_down(size_t index)
{
    struct connection *c = server.heap[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= server.heap_count)
            break;
        if (child + 1 < server.heap_count
            && server.heap[child + 1]->due_ns < server.heap[child]->due_ns)
            child++;
        if (c->due_ns <= server.heap[child]->due_ns)
            break;
        heap_place(index, server.heap[child]);
        index = child;
    }
    heap_place(index, c);
}

static void schedule_at(struct connection *c, int64_t due_ns)
{
    c->due_ns = due_ns;
    if (c->heap_index == NOT_QUEUED) {
        if (server.heap_count == server.heap_capacity) {
            server.heap_capacity = server.heap_capacity ? 2 * server.heap_capacity : 1024;
            server.heap = allocate(server.heap, server.heap_capacity * sizeof *server.heap);
        }
        heap_place(server.heap_count++, c);
    }
    heap_up(c->heap_index);
    heap_down(c->heap_index);
}

static void unschedule(struct connection *c)
{
    size_t index = c->heap_index;
    if (index == NOT_QUEUED)
        return;
    c->heap_index = NOT_QUEUED;
    struct connection *moved = server.heap[--server.heap_count];
    if (moved == c)
        return;
    heap_place(index, moved);
    heap_up(index);
    heap_down(moved->heap_index);
}

/* ---- connections: open, write, close ---- */

static bool is_open(const struct connection *c)
{
    return c->fd >= 0;
}

static bool has_pending(const struct connection *c)
{
    return c->out_sent < c->out.length;
}

static struct record *record_of(const struct connection *c)
{
    return &server.records[c->response.record];
}

static void end_response(struct connection *c)
{
    unschedule(c);
    record_of(c)->end_ns = monotonic_ns();
    c->busy = false;
}

static void close_connection(struct connection *c)
{
    if (!is_open(c))
        return;
    if (c->busy)
        end_response(c);
    close(c->fd);
    c->fd = -1;
    server.open--;
    c->next_closed = server.closed;
    server.closed = c;
}

/* The client went away, or its socket failed. */
static void lose_connection(struct connection *c)
{
    if (c->busy)
        record_of(c)->client_gone = true;
    close_connection(c);
}

static void free_closed(void)
{
    while (server.closed) {
        struct connection *c = server.closed;
        server.closed = c->next_closed;
        buffer_free(&c->in);
        buffer_free(&c->out);
        free(c);
    }
}

static void watch_writes(struct connection *c, bool on)
{
    if (c->watching_writes == on)
        return;
    c->watching_writes = on;
    struct epoll_event event = {.events = EPOLLIN | (on ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(server.epoll, EPOLL_CTL_MOD, c->fd, &event);
}

/* Sends what the socket takes now; the rest waits until the client has read. */
static void send_bytes(struct connection *c, const char *data, size_t length)
{
    size_t piece = c->busy && c->response.settings.split ? (size_t)c->response.settings.split : length;
    while (is_open(c) && length > 0 && !has_pending(c)) {
        server.writes++;
        ssize_t n = send(c->fd, data, piece < length ? piece : length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            data += n;
            length -= (size_t)n;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            lose_connection(c);
        }
    }
    if (!is_open(c) || length == 0)
        return;
    if (c->busy)
        record_of(c)->delayed = true;
    buffer_append(&c->out, data, length);
    watch_writes(c, true);
}

static void send_buffer(struct connection *c, const struct buffer *b)
{
    send_bytes(c, b->data, b->length);
}

static void close_when_sent(struct connection *c)
{
    if (has_pending(c))
        c->close_when_drained = true;
    else
        close_connection(c);
}

/* The response is complete. */
static void finish_response(struct connection *c)
{
    if (!is_open(c))
        return;
    end_response(c);
    if (c->response.close_after)
        close_when_sent(c);
}

/* ---- building events ---- */

/* The head of the response, up to the empty line. */
static void append_header(struct buffer *b, const struct connection *c, const char *content_type,
                          size_t body_length)
{
    const struct response *r = &c->response;
    const struct record *record = record_of(c);
    if (r->settings.fault == FAULT_CONTINUE)
        buffer_printf(b, "HTTP/1.1 100 Continue\r\n\r\n");
    buffer_printf(b, "HTTP/1.%c 200 OK\r\nContent-Type: %s\r\nX-Request-Id: %07u\r\n",
                  r->framing == BY_CLOSE ? '0' : '1', content_type, record->id);
    if (r->framing == CHUNKED)
        buffer_printf(b, "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n");
    else if (r->framing == BY_LENGTH)
        buffer_printf(b, "Content-Length: %zu\r\n", body_length);
    if (r->close_after && r->settings.fault != FAULT_CLOSE_SILENTLY && r->framing != BY_CLOSE)
        buffer_printf(b, "Connection: close\r\n");
    buffer_printf(b, "\r\n");
}

/* Appends body bytes as the response frames them. */
static void append_framed(struct buffer *b, const struct response *r, const char *data, size_t length)
{
    if (r->framing == CHUNKED)
        buffer_printf(b, "%zx\r\n", length);
    buffer_append(b, data, length);
    if (r->framing == CHUNKED)
        buffer_append(b, "\r\n", 2);
}

static void append_end(struct buffer *b, const struct response *r)
{
    if (r->framing == CHUNKED)
        buffer_append(b, "0\r\n\r\n", 5);
}

/* Appends the event under construction, with its empty line, and begins a new one. */
static void append_event(struct buffer *b, const struct response *r)
{
    const char *line_end = r->settings.crlf ? "\r\n" : "\n";
    buffer_printf(&server.event, "%s%s", line_end, line_end);
    append_framed(b, r, server.event.data, server.event.length);
    server.event.length = 0;
}

static void append_comment(struct buffer *b, const struct response *r)
{
    buffer_printf(&server.event, ": keep-alive");
    append_event(b, r);
}

static void append_done(struct buffer *b, const struct response *r)
{
    buffer_printf(&server.event, "data: [DONE]");
    append_event(b, r);
}

static const char *finish_reason(const struct response *r)
{
    return r->at_limit ? "\"length\"" : "\"stop\"";
}

static const char *reasoning_field(const struct response *r)
{
    return REASONING_FIELDS[r->settings.reasoning_field];
}

/* The text of token `index`; the first visible token names the request. */
static void append_token_text(struct buffer *b, const struct response *r, uint32_t id, long index)
{
    long visible = index - r->reasoning;
    if (visible < 0)
        buffer_printf(b, " t%03ld", index % 1000);
    else if (visible == 0)
        buffer_printf(b, "r%07u", id);
    else
        buffer_printf(b, " w%03ld", visible % 1000);
}

static void begin_chunk_object(const struct response *r, uint32_t id)
{
    buffer_printf(&server.event, "data: {\"id\":\"%s-%07u\",\"object\":\"%s\",\"created\":%s,\"model\":\"%s\",",
                  r->chat ? "chatcmpl" : "cmpl", id,
                  r->chat ? "chat.completion.chunk" : "text_completion", CREATED, MODEL);
}

static void append_role_event(struct buffer *b, const struct response *r, uint32_t id)
{
    if (!r->chat)
        return;
    begin_chunk_object(r, id);
    buffer_printf(&server.event, "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                                 "\"logprobs\":null,\"finish_reason\":null}]}");
    append_event(b, r);
}

/* How many tokens the event that begins at token `index` holds; never reasoning and answer both. */
static long event_tokens(const struct response *r, long index)
{
    long end = index < r->reasoning ? r->reasoning : r->total;
    long left = end - index;
    return left < r->settings.per_event ? left : r->settings.per_event;
}

static void append_token_event(struct buffer *b, const struct response *r, uint32_t id, long index)
{
    long tokens = event_tokens(r, index);
    bool last = index + tokens == r->total && !r->settings.finish_event;
    begin_chunk_object(r, id);
    buffer_printf(&server.event, "\"choices\":[{\"index\":0,");
    if (!r->chat)
        buffer_printf(&server.event, "\"text\":\"");
    else
        buffer_printf(&server.event, "\"delta\":{%s\"%s\":\"",
                      index == 0 && !r->role_sent ? "\"role\":\"assistant\"," : "",
                      index < r->reasoning ? reasoning_field(r) : "content");
    for (long i = 0; i < tokens; i++)
        append_token_text(&server.event, r, id, index + i);
    buffer_printf(&server.event, "\"%s,\"logprobs\":null,\"finish_reason\":%s}]}", r->chat ? "}" : "",
                  last ? finish_reason(r) : "null");
    append_event(b, r);
}

static void append_usage(struct buffer *b, const struct response *r)
{
    buffer_printf(b, "\"usage\":{\"prompt_tokens\":%ld,\"completion_tokens\":%ld,\"total_tokens\":%ld",
                  r->settings.prompt_tokens, r->total, r->settings.prompt_tokens + r->total);
    if (r->reasoning)
        buffer_printf(b, ",\"completion_tokens_details\":{\"reasoning_tokens\":%ld}", r->reasoning);
    buffer_printf(b, "}");
}

/* Everything behind the last token. */
static void append_tail(struct buffer *b, const struct response *r, uint32_t id)
{
    if (r->settings.finish_event || r->total == 0) {
        begin_chunk_object(r, id);
        buffer_printf(&server.event, "\"choices\":[{\"index\":0,%s,\"logprobs\":null,\"finish_reason\":%s}]}",
                      r->chat ? "\"delta\":{}" : "\"text\":\"\"", finish_reason(r));
        append_event(b, r);
    }
    if (r->usage) {
        begin_chunk_object(r, id);
        buffer_printf(&server.event, "\"choices\":[],");
        append_usage(&server.event, r);
        buffer_printf(&server.event, "}");
        append_event(b, r);
    }
    if (r->settings.fault != FAULT_NO_DONE)
        append_done(b, r);
    append_end(b, r);
}

/* The bytes of the whole streamed body, for a Content-Length. */
static size_t stream_body_length(const struct response *r, uint32_t id)
{
    struct buffer body = {0};
    if (r->settings.role_ms >= 0)
        append_role_event(&body, r, id);
    struct response later = *r;
    later.role_sent = r->settings.role_ms >= 0;
    for (long i = 0; i < r->total; i += event_tokens(r, i))
        append_token_event(&body, &later, id, i);
    append_tail(&body, r, id);
    size_t length = body.length;
    buffer_free(&body);
    return length;
}

/* ---- the log ---- */

static void append_time(struct buffer *b, const char *name, int64_t ns)
{
    if (ns == UNKNOWN_NS)
        buffer_printf(b, ",\"%s\":null", name);
    else
        buffer_printf(b, ",\"%s\":%lld", name, (long long)ns);
}

static void append_times(struct buffer *b, const char *name, const int64_t *ns, long count)
{
    buffer_printf(b, ",\"%s\":[", name);
    for (long i = 0; i < count; i++)
        buffer_printf(b, "%s%lld", i ? "," : "", (long long)ns[i]);
    buffer_printf(b, "]");
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static void append_record(struct buffer *b, const struct record *r)
{
    buffer_printf(b, "{\"id\":%u,\"connection\":%u,\"status\":%d", r->id, r->connection, r->status);
    if (r->fault == FAULT_STATUS)
        buffer_printf(b, ",\"fault\":\"http-%d\"", r->status);
    else
        buffer_printf(b, ",\"fault\":\"%s\"", FAULTS[r->fault].name);
    buffer_printf(b, ",\"chat\":%s,\"stream\":%s,\"stamped\":%s,\"delayed\":%s,\"client_gone\":%s",
                  truth(r->chat), truth(r->stream), truth(r->stamped), truth(r->delayed),
                  truth(r->client_gone));
    append_time(b, "accept_ns", r->accept_ns);
    append_time(b, "arrival_ns", r->arrival_ns);
    append_time(b, "arrival_end_ns", r->arrival_end_ns);
    append_time(b, "header_ns", r->header_ns);
    append_time(b, "role_ns", r->role_ns);
    append_time(b, "end_ns", r->end_ns);
    buffer_printf(b, ",\"body_bytes\":%zu,\"tokens\":%ld,\"reasoning\":%ld", r->body_bytes, r->tokens,
                  r->reasoning);
    append_times(b, "before_ns", r->before_ns, r->written);
    append_times(b, "after_ns", r->after_ns, r->written);
    buffer_printf(b, "}");
}

static void append_log(struct buffer *b)
{
    buffer_printf(b, "{\"requests\":[");
    for (size_t i = 0; i < server.record_count; i++) {
        buffer_printf(b, i ? ",\n" : "\n");
        append_record(b, &server.records[i]);
    }
    buffer_printf(b, "\n]}\n");
}

static void write_log(void)
{
    if (!server.log_path)
        return;
    FILE *file = fopen(server.log_path, "wb");
    if (!file) {
        perror(server.log_path);
        return;
    }
    struct buffer log = {0};
    append_log(&log);
    if (fwrite(log.data, 1, log.length, file) != log.length)
        perror(server.log_path);
    fclose(file);
    buffer_free(&log);
}

static void forget_records(void)
{
    for (size_t i = 0; i < server.record_count; i++) {
        free(server.records[i].before_ns);
        free(server.records[i].after_ns);
    }
    server.record_count = 0;
    server.tokens = server.writes = 0;
    server.most_open = server.open;
}

/* ---- the course of a response ---- */

static int64_t after_start(const struct response *r, double ms)
{
    return r->start_ns + (int64_t)(ms * NS_PER_MS);
}

static int64_t next_step_ns(const struct response *r)
{
    const struct settings *s = &r->settings;
    if (!r->header_sent && s->header_ms >= 0)
        return after_start(r, s->header_ms);
    if (!r->role_sent && s->role_ms >= 0)
        return after_start(r, s->role_ms);
    return after_start(r, s->ttft_ms + s->itl_ms * (double)r->sent);
}

static bool comments_wanted(const struct response *r)
{
    return r->settings.keepalive_ms > 0 && r->header_sent && r->framing != BY_LENGTH;
}

/* Queues the next step, unless the client has to read first (then the drained socket does). */
static void schedule_next(struct connection *c)
{
    const struct response *r = &c->response;
    if (!is_open(c) || !c->busy)
        return;
    if (has_pending(c)) {
        unschedule(c);
        return;
    }
    int64_t due_ns = r->phase == FILLING ? monotonic_ns() : next_step_ns(r);
    if (r->phase == STREAMING && comments_wanted(r) && r->comment_ns < due_ns)
        due_ns = r->comment_ns;
    schedule_at(c, due_ns);
}

static void fall_silent(struct connection *c)
{
    c->response.phase = SILENT;
    unschedule(c);
}

static void reset_connection(struct connection *c)
{
    struct linger abort_now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &abort_now, sizeof abort_now);
    close_connection(c);
}

static void exit_as_told(void)
{
    write_log();
    fputs("the exit fault was asked for\n", stderr);
    _exit(EXIT_FAULT_CODE);
}

/* Carries out a fault that ends the answer where it stands. True: it was one. */
static bool break_off(struct connection *c)
{
    struct response *r = &c->response;
    switch (r->settings.fault) {
    case FAULT_STALL:
        fall_silent(c);
        return true;
    case FAULT_CLOSE:
        close_when_sent(c);
        return true;
    case FAULT_RESET:
        reset_connection(c);
        return true;
    case FAULT_EXIT:
        exit_as_told();
        return true;
    case FAULT_ENDLESS:
    case FAULT_ENDLESS_LINE:
        r->phase = FILLING;
        schedule_next(c);
        return true;
    default:
        return false;
    }
}

static void append_error_event(struct buffer *b, const struct response *r)
{
    buffer_printf(&server.event, "data: {\"error\":{\"message\":\"the engine died\","
                                 "\"type\":\"InternalServerError\",\"code\":500}}");
    append_event(b, r);
}

/* Carries out a stream's fault at its token. True: the stream goes no further. */
static bool stop_stream_at_token(struct connection *c)
{
    struct response *r = &c->response;
    struct buffer *b = &server.scratch;
    send_buffer(c, b); /* a late header */
    b->length = 0;
    if (!is_open(c))
        return true;
    switch (r->settings.fault) {
    case FAULT_END_EARLY:
        append_end(b, r);
        break;
    case FAULT_ERROR_EVENT:
        append_error_event(b, r);
        append_done(b, r);
        append_end(b, r);
        break;
    case FAULT_BAD_CHUNK:
        send_bytes(c, "not-a-size\r\n", 12);
        if (is_open(c))
            fall_silent(c);
        return true;
    default:
        return break_off(c);
    }
    r->close_after |= r->settings.fault == FAULT_END_EARLY;
    send_buffer(c, b);
    finish_response(c);
    return true;
}

/* The event in a token's place, where the fault spoils it. False: no such fault. */
static bool append_spoilt_event(struct buffer *b, const struct response *r, uint32_t id)
{
    struct buffer *event = &server.event;
    switch (r->settings.fault) {
    case FAULT_TRUNCATED_JSON:
        begin_chunk_object(r, id);
        buffer_printf(event, "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" cut");
        break;
    case FAULT_WRONG_SHAPE:
        buffer_printf(event, "data: {\"choices\":\"none\",\"usage\":[1,2]}");
        break;
    case FAULT_NO_SSE:
        buffer_printf(event, "\x01 a line without a field\ndatta {}\n<p>neither is this</p>");
        break;
    case FAULT_INVALID_UTF8:
        begin_chunk_object(r, id);
        buffer_printf(event, "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" \xff\xfe\xc3(\"}}]}");
        break;
    default:
        return false;
    }
    append_event(b, r);
    return true;
}

static bool fault_is_next(const struct response *r)
{
    return r->settings.fault != FAULT_NONE && r->sent == r->settings.fault_at;
}

/* Puts the next events, with their header where it is late, into the scratch buffer.
 * Returns the number of tokens; stops before a fault's token, which begins a write of its own. */
static long build_token_write(const struct connection *c)
{
    const struct response *r = &c->response;
    struct buffer *b = &server.scratch;
    uint32_t id = record_of(c)->id;
    long next = r->sent;
    for (long event = 0; event < r->settings.per_write && next < r->total; event++) {
        if (event > 0 && r->settings.fault != FAULT_NONE && next == r->settings.fault_at)
            break;
        bool spoilt = next == r->settings.fault_at && append_spoilt_event(b, r, id);
        if (!spoilt)
            append_token_event(b, r, id, next);
        next += event_tokens(r, next);
    }
    return next - r->sent;
}

static void write_tokens(struct connection *c)
{
    struct response *r = &c->response;
    long tokens = build_token_write(c);
    size_t index = r->record;
    int64_t before_ns = monotonic_ns();
    send_buffer(c, &server.scratch);
    int64_t after_ns = monotonic_ns();
    struct record *record = &server.records[index];
    for (long i = 0; i < tokens; i++) {
        record->before_ns[record->written] = before_ns;
        record->after_ns[record->written++] = after_ns;
    }
    r->sent += tokens;
    server.tokens += (uint64_t)tokens;
}

static void write_tail(struct connection *c)
{
    struct response *r = &c->response;
    server.scratch.length = 0;
    append_tail(&server.scratch, r, record_of(c)->id);
    send_buffer(c, &server.scratch);
    finish_response(c);
}

static void note_header(struct connection *c)
{
    c->response.header_sent = true;
    record_of(c)->header_ns = monotonic_ns();
}

static void append_stream_header(struct buffer *b, struct connection *c)
{
    struct response *r = &c->response;
    size_t length = r->framing == BY_LENGTH ? stream_body_length(r, record_of(c)->id) : 0;
    if (r->settings.fault == FAULT_SHORT_BODY)
        length += MISSING_BODY_BYTES;
    append_header(b, c, "text/event-stream; charset=utf-8", length);
    note_header(c);
}

/* Sends what is next: the header, the role, a comment or tokens. */
static void stream_step(struct connection *c)
{
    struct response *r = &c->response;
    struct buffer *b = &server.scratch;
    int64_t now_ns = monotonic_ns();
    b->length = 0;
    if (comments_wanted(r) && r->comment_ns <= now_ns && now_ns < next_step_ns(r)) {
        append_comment(b, r);
        send_buffer(c, b);
    } else if (!r->header_sent && r->settings.header_ms >= 0) {
        append_stream_header(b, c);
        send_buffer(c, b);
    } else {
        if (!r->header_sent)
            append_stream_header(b, c);
        if (!r->role_sent && r->settings.role_ms >= 0) {
            append_role_event(b, r, record_of(c)->id);
            r->role_sent = true;
            record_of(c)->role_ns = monotonic_ns();
            send_buffer(c, b);
        } else if (fault_is_next(r) && stop_stream_at_token(c)) {
            return;
        } else {
            write_tokens(c);
            if (is_open(c) && r->sent == r->total) {
                write_tail(c);
                return;
            }
        }
    }
    r->comment_ns = now_ns + (int64_t)(r->settings.keepalive_ms * NS_PER_MS);
    schedule_next(c);
}

static void append_whole_body(struct buffer *b, const struct response *r, uint32_t id)
{
    if (r->settings.fault == FAULT_ERROR_EVENT) {
        buffer_printf(b, "{\"error\":{\"message\":\"the engine died\",\"code\":500}}");
        return;
    }
    buffer_printf(b, "{\"id\":\"%s-%07u\",\"object\":\"%s\",\"created\":%s,\"model\":\"%s\",\"choices\":[{\"index\":0,",
                  r->chat ? "chatcmpl" : "cmpl", id, r->chat ? "chat.completion" : "text_completion",
                  CREATED, MODEL);
    buffer_printf(b, r->chat ? "\"message\":{\"role\":\"assistant\"," : "\"text\":\"");
    if (r->chat && r->reasoning) {
        buffer_printf(b, "\"%s\":\"", reasoning_field(r));
        for (long i = 0; i < r->reasoning; i++)
            append_token_text(b, r, id, i);
        buffer_printf(b, "\",");
    }
    if (r->chat)
        buffer_printf(b, "\"content\":\"");
    for (long i = r->reasoning; i < r->total; i++)
        append_token_text(b, r, id, i);
    if (r->settings.fault == FAULT_INVALID_UTF8)
        buffer_printf(b, " \xff\xfe\xc3(");
    buffer_printf(b, "\"%s,\"finish_reason\":%s}],", r->chat ? "}" : "", finish_reason(r));
    append_usage(b, r);
    buffer_printf(b, "}");
}

/* Sends the answer in one piece. */
static void send_whole(struct connection *c)
{
    struct response *r = &c->response;
    enum fault fault = r->settings.fault;
    struct buffer body = {0};
    append_whole_body(&body, r, record_of(c)->id);
    if (fault == FAULT_TRUNCATED_JSON)
        body.length /= 2;
    if (fault == FAULT_NO_SSE || fault == FAULT_WRONG_SHAPE) {
        body.length = 0;
        buffer_printf(&body, fault == FAULT_NO_SSE ? "this is no JSON" : "[1,2,3]");
    }
    bool broken = fault == FAULT_STALL || fault == FAULT_CLOSE || fault == FAULT_RESET
                  || fault == FAULT_EXIT || fault == FAULT_ENDLESS || fault == FAULT_ENDLESS_LINE;
    size_t promised = body.length + (fault == FAULT_SHORT_BODY ? MISSING_BODY_BYTES : 0);
    if (fault == FAULT_ENDLESS || fault == FAULT_ENDLESS_LINE)
        promised = SIZE_MAX / 4;
    struct buffer *b = &server.scratch;
    b->length = 0;
    append_header(b, c, "application/json", promised);
    note_header(c);
    append_framed(b, r, body.data, broken ? body.length / 2 : body.length);
    buffer_free(&body);
    if (!broken)
        append_end(b, r);
    send_buffer(c, b);
    if (is_open(c) && !(broken && break_off(c)))
        finish_response(c);
}

/* Sends one more piece of what has no end. */
static void fill_step(struct connection *c)
{
    static char filler[FILLER_BYTES];
    memset(filler, 'x', sizeof filler);
    struct response *r = &c->response;
    struct buffer *b = &server.scratch;
    b->length = 0;
    if (r->settings.fault == FAULT_ENDLESS_HEADER) {
        buffer_printf(b, "X-Filler: %.*s\r\n", 1000, filler);
    } else if (r->settings.fault == FAULT_ENDLESS_LINE) {
        append_framed(b, r, filler, sizeof filler);
    } else {
        while (b->length < FILLER_BYTES) {
            append_token_event(b, r, record_of(c)->id, r->total - 1);
        }
    }
    send_buffer(c, b);
    schedule_next(c);
}

static void take_step(struct connection *c)
{
    switch (c->response.phase) {
    case STREAMING:
        stream_step(c);
        break;
    case WHOLE:
        unschedule(c);
        send_whole(c);
        break;
    case FILLING:
        fill_step(c);
        break;
    case SILENT:
        unschedule(c);
        break;
    }
}

/* ---- requests ---- */

/* Sends a small response that is no answer of the API. */
static void reply(struct connection *c, const char *status, const char *type, struct slice body)
{
    struct buffer b = {0};
    buffer_printf(&b, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", status, type,
                  body.length);
    buffer_append(&b, body.data, body.length);
    send_buffer(c, &b);
    buffer_free(&b);
}

static void reply_error(struct connection *c, const char *status, const char *message, struct slice detail)
{
    struct buffer b = {0};
    buffer_printf(&b, "{\"error\":{\"message\":\"%s", message);
    for (size_t i = 0; i < detail.length; i++) {
        unsigned char character = (unsigned char)detail.data[i];
        bool plain = character >= ' ' && character < 127 && character != '"' && character != '\\';
        buffer_append(&b, plain ? detail.data + i : "?", 1);
    }
    buffer_printf(&b, "\",\"type\":\"invalid_request_error\"}}");
    reply(c, status, "application/json", (struct slice){b.data, b.length});
    buffer_free(&b);
}

static void reply_status_fault(struct connection *c)
{
    const struct settings *s = &c->response.settings;
    struct buffer b = {0};
    static const char body[] = "{\"error\":{\"message\":\"this status was asked for\",\"type\":\"fault\"}}";
    buffer_printf(&b, "HTTP/1.1 %ld Fault\r\nContent-Type: application/json\r\n", s->status);
    if (s->status == 429 || s->status == 503)
        buffer_printf(&b, "Retry-After: %ld\r\n", s->retry_after_s);
    if (s->status < 400)
        buffer_printf(&b, "Location: /v1/elsewhere\r\n");
    buffer_printf(&b, "Content-Length: %zu\r\n\r\n%s", sizeof body - 1, body);
    record_of(c)->status = (int)s->status;
    send_buffer(c, &b);
    buffer_free(&b);
    finish_response(c);
}

/* Carries out a fault that comes instead of an answer. True: it was one. */
static bool refuse(struct connection *c)
{
    static const char page[] = "<!DOCTYPE html><html><body><h1>Welcome to the proxy</h1></body></html>";
    static const char garbage[] = "\x16\x03\x01 this is no HTTP at all\n\n\r\n\r\n";
    switch (c->response.settings.fault) {
    case FAULT_STATUS:
        reply_status_fault(c);
        return true;
    case FAULT_HANG:
        fall_silent(c);
        return true;
    case FAULT_GARBAGE:
        send_bytes(c, garbage, sizeof garbage - 1);
        close_when_sent(c);
        return true;
    case FAULT_HTML:
        reply(c, "200 OK", "text/html", slice_of(page));
        finish_response(c);
        return true;
    case FAULT_ENDLESS_HEADER:
        send_bytes(c, "HTTP/1.1 200 OK\r\n", 17);
        c->response.phase = FILLING;
        schedule_next(c);
        return true;
    default:
        return false;
    }
}

static bool json_true(struct slice object, const char *key)
{
    struct slice value;
    return json_member(object, key, &value) && slice_is(value, "true");
}

/* How many visible tokens the answer has; sets at_limit where the request's limit ended it. */
static long answer_tokens(struct response *r, struct slice body)
{
    struct slice value;
    double limit = 0;
    long natural = r->settings.tokens;
    r->at_limit = false;
    if (!r->settings.honour_max)
        return natural;
    bool limited = (json_member(body, "max_completion_tokens", &value) && slice_number(value, &limit))
                   || (json_member(body, "max_tokens", &value) && slice_number(value, &limit));
    if (!limited || limit < 1 || limit > MAX_TOKENS)
        return natural;
    if ((long)limit > natural && !json_true(body, "ignore_eos"))
        return natural;
    r->at_limit = true;
    return (long)limit;
}

static bool is_api_path(struct slice path)
{
    return slice_is(path, "/v1/chat/completions") || slice_is(path, "/v1/completions");
}

static struct record *new_record(struct connection *c)
{
    if (server.record_count == server.record_capacity) {
        server.record_capacity = server.record_capacity ? 2 * server.record_capacity : 1024;
        server.records = allocate(server.records, server.record_capacity * sizeof *server.records);
    }
    struct record *record = &server.records[server.record_count];
    *record = (struct record){
        .id = (uint32_t)server.record_count,
        .connection = c->id,
        .status = 200,
        .stamped = c->first.stamped && c->last.stamped,
        .accept_ns = c->accept_ns,
        .arrival_ns = c->first.ns,
        .arrival_end_ns = c->last.ns,
        .header_ns = UNKNOWN_NS,
        .role_ns = UNKNOWN_NS,
        .end_ns = UNKNOWN_NS,
    };
    c->response.record = server.record_count++;
    return record;
}

static void choose_framing(struct response *r, bool stream)
{
    r->framing = stream ? CHUNKED : BY_LENGTH;
    switch (r->settings.fault) {
    case FAULT_UNTIL_CLOSE:
        r->framing = BY_CLOSE;
        r->close_after = true;
        break;
    case FAULT_CONTENT_LENGTH:
        r->framing = BY_LENGTH;
        break;
    case FAULT_SHORT_BODY:
        r->framing = BY_LENGTH;
        r->close_after = true;
        break;
    case FAULT_CLOSE_AFTER:
    case FAULT_CLOSE_SILENTLY:
        r->close_after = true;
        break;
    default:
        break;
    }
}

/* Moves the fault to a token that exists, and to the start of an event. */
static void place_fault(struct response *r)
{
    struct settings *s = &r->settings;
    if (s->fault_at >= r->total)
        s->fault_at = r->total > 0 ? r->total - 1 : 0;
    long start = 0;
    while (start < r->total && start + event_tokens(r, start) <= s->fault_at)
        start += event_tokens(r, start);
    s->fault_at = start;
}

static void begin_response(struct connection *c, const struct request *request, struct settings settings,
                           bool chat)
{
    bool stream = json_true(request->body, "stream");
    struct record *record = new_record(c);
    struct response *r = &c->response;
    *r = (struct response){.settings = settings, .record = r->record, .chat = chat};
    long visible = answer_tokens(r, request->body);
    r->reasoning = chat ? settings.reasoning : 0;
    r->total = visible + r->reasoning;
    place_fault(r);
    r->close_after = request->close_after;
    choose_framing(r, stream);
    struct slice options;
    bool asked = json_member(request->body, "stream_options", &options) && options.length
                 && json_true(options, "include_usage");
    r->usage = settings.usage == USAGE_ALWAYS || (settings.usage == USAGE_ASKED && asked);
    r->start_ns = c->last.ns;
    r->comment_ns = r->start_ns + (int64_t)(settings.keepalive_ms * NS_PER_MS);
    r->phase = stream ? STREAMING : WHOLE;
    record->fault = r->settings.fault;
    record->chat = chat;
    record->stream = stream;
    record->tokens = r->total;
    record->reasoning = r->reasoning;
    record->body_bytes = request->body.length;
    if (stream) {
        size_t bytes = ((size_t)r->total + 1) * sizeof(int64_t);
        record->before_ns = allocate(NULL, bytes);
        record->after_ns = allocate(NULL, bytes);
    }
    c->busy = true;
    if (refuse(c))
        return;
    if (!stream)
        schedule_at(c, after_start(r, settings.ttft_ms + settings.itl_ms * (double)(r->total - 1)));
    else if (settings.header_ms == 0)
        stream_step(c);
    else
        schedule_next(c);
}

/* The server's settings, without the fault where it is not the next request's turn. */
static struct settings common_settings(void)
{
    struct settings s = server.settings;
    long id = (long)server.record_count;
    if (id < s.fault_from || (id - s.fault_from) % s.fault_every != 0)
        s.fault = FAULT_NONE;
    return s;
}

/* Reads this request's own settings; answers 400 and returns false where they are wrong. */
static bool own_settings(struct connection *c, const struct request *request, struct slice prefix,
                         struct settings *settings)
{
    struct slice bad = {0};
    struct slice header = header_value(request->head, "x-set");
    struct slice fault = header_value(request->head, "x-fault");
    *settings = common_settings();
    bool good = set_pairs(settings, prefix, &bad) && set_pairs(settings, header, &bad);
    if (good && fault.length) {
        bad = fault;
        good = set_fault(settings, fault);
    }
    if (!good)
        reply_error(c, "400 Bad Request", "unknown setting or bad value: ", bad);
    return good;
}

static bool authorised(const struct request *request)
{
    if (!server.api_key)
        return true;
    struct slice value = header_value(request->head, "authorization");
    return slice_starts(value, "Bearer ") && slice_is(slice_from(value, 7), server.api_key);
}

static void answer_api(struct connection *c, const struct request *request, struct slice path,
                       struct slice prefix)
{
    server.last_request.length = 0;
    buffer_append(&server.last_request, request->head.data, request->head.length);
    buffer_append(&server.last_request, request->body.data, request->body.length);
    struct settings settings;
    if (!authorised(request))
        reply_error(c, "401 Unauthorized", "wrong or missing API key", (struct slice){0});
    else if (!slice_is(request->method, "POST"))
        reply_error(c, "405 Method Not Allowed", "POST is wanted here", (struct slice){0});
    else if (!json_is_object(request->body))
        reply_error(c, "400 Bad Request", "the body is no JSON object", (struct slice){0});
    else if (own_settings(c, request, prefix, &settings))
        begin_response(c, request, settings, slice_is(path, "/v1/chat/completions"));
}

static void reply_stats(struct connection *c)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    struct buffer b = {0};
    buffer_printf(&b,
                  "{\"requests\":%zu,\"tokens\":%llu,\"writes\":%llu,\"cpu_user_s\":%ld.%06ld,"
                  "\"cpu_system_s\":%ld.%06ld,\"open_connections\":%u,\"most_open_connections\":%u}",
                  server.record_count, (unsigned long long)server.tokens,
                  (unsigned long long)server.writes, (long)usage.ru_utime.tv_sec,
                  (long)usage.ru_utime.tv_usec, (long)usage.ru_stime.tv_sec,
                  (long)usage.ru_stime.tv_usec, server.open, server.most_open);
    reply(c, "200 OK", "application/json", (struct slice){b.data, b.length});
    buffer_free(&b);
}

static void answer_control(struct connection *c, struct slice path)
{
    struct slice query, bad;
    path = slice_until(path, '?', &query);
    if (slice_is(path, "/__set")) {
        if (set_pairs(&server.settings, query, &bad))
            reply(c, "200 OK", "text/plain", slice_of("ok\n"));
        else
            reply_error(c, "400 Bad Request", "unknown setting or bad value: ", bad);
    } else if (slice_is(path, "/__reset")) {
        for (size_t i = 0; i < server.record_count; i++) {
            if (server.records[i].end_ns == UNKNOWN_NS) {
                reply_error(c, "409 Conflict", "a request is still under way", (struct slice){0});
                return;
            }
        }
        forget_records();
        server.settings = server.initial;
        reply(c, "200 OK", "text/plain", slice_of("ok\n"));
    } else if (slice_is(path, "/__dump")) {
        struct buffer log = {0};
        append_log(&log);
        reply(c, "200 OK", "application/json", (struct slice){log.data, log.length});
        buffer_free(&log);
    } else if (slice_is(path, "/__stats")) {
        reply_stats(c);
    } else if (slice_is(path, "/__last")) {
        reply(c, "200 OK", "application/octet-stream",
              (struct slice){server.last_request.data, server.last_request.length});
    } else if (slice_is(path, "/v1/models")) {
        reply(c, "200 OK", "application/json",
              slice_of("{\"object\":\"list\",\"data\":[{\"id\":\"ground-truth\",\"object\":\"model\","
                       "\"created\":1700000000,\"owned_by\":\"minionbench\"}]}"));
    } else if (slice_is(path, "/health")) {
        reply(c, "200 OK", "application/json", slice_of("{\"status\":\"ok\"}"));
    } else {
        reply_error(c, "404 Not Found", "no such path: ", path);
    }
}

static void answer(struct connection *c, const struct request *request)
{
    struct slice path = request->path;
    struct slice prefix = {NULL, 0};
    if (slice_starts(path, "/with/")) {
        prefix = slice_until(slice_from(path, 6), '/', &path);
        path = (struct slice){path.data - 1, path.length + 1}; /* with its slash */
    }
    if (is_api_path(path))
        answer_api(c, request, path, prefix);
    else
        answer_control(c, path);
    if (request->close_after && is_open(c) && !c->busy)
        close_when_sent(c);
}

/* Answers what has arrived, one request at a time. */
static void serve_arrived(struct connection *c)
{
    while (is_open(c) && !c->busy && !c->close_when_drained && c->in.length > 0) {
        struct request request = {0};
        struct slice in = {c->in.data, c->in.length};
        enum parsed parsed = parse_request(in, &request);
        if (parsed == INCOMPLETE) {
            if (request.head.length && !c->continue_sent
                && same_word(header_value(request.head, "expect"), "100-continue")) {
                c->continue_sent = true;
                send_bytes(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
            }
            return;
        }
        if (parsed != COMPLETE) {
            reply_error(c, parsed == TOO_LARGE ? "413 Content Too Large" : "400 Bad Request",
                        "the request cannot be read", (struct slice){0});
            if (is_open(c))
                close_when_sent(c);
            return;
        }
        answer(c, &request);
        buffer_consume(&c->in, request.size);
        c->first = c->last;
        c->continue_sent = false;
    }
}

/* ---- the event loop ---- */

static void accept_connections(void)
{
    for (;;) {
        int fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *c = allocate(NULL, sizeof *c);
        *c = (struct connection){
            .fd = fd, .id = server.connections++, .accept_ns = monotonic_ns(), .heap_index = NOT_QUEUED};
        if (++server.open > server.most_open)
            server.most_open = server.open;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static void read_arrived(struct connection *c)
{
    _Alignas(struct cmsghdr) char control[STAMP_CONTROL_BYTES];
    buffer_reserve(&c->in, READ_BYTES);
    struct iovec room = {c->in.data + c->in.length, c->in.capacity - c->in.length};
    struct msghdr message = {
        .msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(c->fd, &message, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || c->in.length > MAX_HEAD_BYTES + 2 * (size_t)MAX_BODY_BYTES) {
        lose_connection(c);
        return;
    }
    int64_t real_ns;
    bool stamped = receive_stamp_ns(&message, &real_ns);
    c->last = (struct arrival){stamped ? real_ns - realtime_offset_ns() : monotonic_ns(), stamped};
    if (c->in.length == 0)
        c->first = c->last;
    c->in.length += (size_t)n;
    serve_arrived(c);
}

static void send_pending(struct connection *c)
{
    while (has_pending(c)) {
        ssize_t n = send(c->fd, c->out.data + c->out_sent, c->out.length - c->out_sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                lose_connection(c);
            return;
        }
        c->out_sent += (size_t)n;
    }
    buffer_free(&c->out);
    c->out_sent = 0;
    watch_writes(c, false);
    if (c->close_when_drained)
        close_connection(c);
    else if (c->busy && c->response.phase != SILENT)
        schedule_next(c);
}

static void take_due_steps(void)
{
    int64_t now_ns = monotonic_ns();
    for (int i = 0; i < STEPS_PER_PASS; i++) {
        if (server.heap_count == 0 || server.heap[0]->due_ns > now_ns)
            return;
        struct connection *c = server.heap[0];
        take_step(c);
        serve_arrived(c);
    }
}

static int wait_for_events(struct epoll_event *events, const sigset_t *unblocked)
{
    struct timespec wait, *timeout = NULL;
    if (server.heap_count > 0) {
        int64_t left_ns = server.heap[0]->due_ns - monotonic_ns();
        if (left_ns < 0)
            left_ns = 0;
        wait = (struct timespec){left_ns / NS_PER_S, left_ns % NS_PER_S};
        timeout = &wait;
    }
    return epoll_pwait2(server.epoll, events, EVENTS_PER_WAIT, timeout, unblocked);
}

static void run(const sigset_t *unblocked)
{
    static struct epoll_event events[EVENTS_PER_WAIT];
    while (!stop_requested) {
        int count = wait_for_events(events, unblocked);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) {
                accept_connections();
                continue;
            }
            if (is_open(c) && events[i].events & EPOLLOUT)
                send_pending(c);
            if (is_open(c) && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                read_arrived(c);
        }
        take_due_steps();
        free_closed();
    }
}

/* ---- start ---- */

static void print_usage(void)
{
    puts("usage: ground_truth_server [--port N] [--log PATH] [--api-key KEY] [--parent-pid PID]\n"
         "                           [--SETTING VALUE]...\n"
         "  --port N         listen there on 127.0.0.1; 0 (default): any free port\n"
         "  --log PATH       write the log there on exit\n"
         "  --api-key KEY    refuse API requests without it\n"
         "  --parent-pid PID exit when this parent is gone already\n\nsettings:");
    for (int i = 0; i < SETTING_COUNT; i++)
        printf("  %-16s %s\n", SETTINGS[i].key, SETTINGS[i].help);
    puts("\nfaults:");
    for (int i = 0; i < FAULT_COUNT; i++)
        printf("  %-16s %s\n", FAULTS[i].name, FAULTS[i].meaning);
}

static int usage_error(const char *what)
{
    fprintf(stderr, "ground_truth_server: wrong option or value: %s (see --help)\n", what);
    return 2;
}

/* The setting key of a flag: "--ttft-ms" is "ttft_ms". */
static struct slice flag_key(const char *flag, char *key, size_t size)
{
    snprintf(key, size, "%s", flag + 2);
    for (char *p = key; *p; p++) {
        if (*p == '-')
            *p = '_';
    }
    return slice_of(key);
}

static int read_options(int count, char **options, uint16_t *port)
{
    server.initial = DEFAULT_SETTINGS;
    for (int i = 1; i < count; i += 2) {
        const char *flag = options[i];
        const char *value = i + 1 < count ? options[i + 1] : NULL;
        char key[64];
        double number = 0;
        if (!value || strncmp(flag, "--", 2) != 0)
            return usage_error(flag);
        bool numeric = slice_number(slice_of(value), &number);
        if (strcmp(flag, "--port") == 0 && numeric && number >= 0 && number <= 65535)
            *port = (uint16_t)number;
        else if (strcmp(flag, "--log") == 0)
            server.log_path = value;
        else if (strcmp(flag, "--api-key") == 0)
            server.api_key = value;
        else if (strcmp(flag, "--parent-pid") == 0 && numeric) {
            if (getppid() != (pid_t)number)
                exit(0);
        } else if (!set_one(&server.initial, flag_key(flag, key, sizeof key), slice_of(value)))
            return usage_error(flag);
    }
    server.settings = server.initial;
    return 0;
}

static bool listen_on(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    enable_receive_stamps(server.listener);
    if (bind(server.listener, (struct sockaddr *)&address, size) != 0
        || listen(server.listener, LISTEN_BACKLOG) != 0
        || getsockname(server.listener, (struct sockaddr *)&address, &size) != 0) {
        perror("ground_truth_server: cannot listen");
        return false;
    }
    *port = ntohs(address.sin_port);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}; /* NULL: the listener */
    return epoll_ctl(server.epoll, EPOLL_CTL_ADD, server.listener, &event) == 0;
}

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

/* Blocks the stop signals but while waiting, so that none falls between the check and the wait. */
static sigset_t catch_stop_signals(void)
{
    struct sigaction action = {.sa_handler = request_stop};
    sigset_t stops, unblocked;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, &unblocked);
    sigdelset(&unblocked, SIGTERM);
    sigdelset(&unblocked, SIGINT);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return unblocked;
}

static void allow_many_files(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    uint16_t port = 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_usage();
        return 0;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* before the parent is checked, so that its death is not missed */
    prctl(PR_SET_TIMERSLACK, 1UL);
    int wrong = read_options(argc, argv, &port);
    if (wrong)
        return wrong;
    sigset_t unblocked = catch_stop_signals();
    allow_many_files();
    if (!listen_on(&port))
        return 1;
    printf("listening on %u\n", port);
    fflush(stdout);
    run(&unblocked);
    write_log();
    return 0;
}
