/* The reference client: as little as a correct streaming client can do, written in C.
 *
 * N chat completions over C keep-alive connections, closed loop, one thread, epoll. Each read keeps
 * its bytes, the kernel's receive stamp and the client's own clock; the HTTP response is framed
 * properly, its JSON is not looked at while the loop runs. The CPU time of the loop is what
 * minionbench's own client is compared with.
 *
 * Afterwards the kept bytes are walked once to count the tokens, which is in no figure.
 *
 * Prints one JSON object. With --stamps PATH also writes one JSON line per request: its id, when it
 * was sent and when each token arrived, in nanoseconds of CLOCK_MONOTONIC.
 *
 * Build: gcc -O2 -Wall -Wextra -Werror reference_client.c -o reference_client
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bytes.h"
#include "kernel_clock.h"

enum {
    EVENTS_PER_WAIT = 512,
    READ_BYTES = 32 * 1024,
    IDLE_LIMIT_MS = 30 * 1000, /* nothing at all for so long is a failure */
};

#define UNSTAMPED INT64_MIN
#define UNFINISHED SIZE_MAX

/* A token-bearing event of the ground-truth server: a non-empty content in its delta. */
static const char TOKEN_MARK[] = "\"content\":\"";

struct receipt {
    size_t end;      /* bytes of the response received with this read and before */
    int64_t real_ns; /* the kernel's stamp, CLOCK_REALTIME; UNSTAMPED */
    int64_t user_ns; /* the client's clock after the read */
};

struct exchange {
    struct slice request;
    int64_t sent_ns;
    struct buffer bytes;
    struct receipt *reads;
    size_t read_count, read_capacity;
    size_t body_start; /* 0: the header is not complete */
    bool complete;
};

struct connection {
    int fd;
    struct exchange *exchange;
    size_t position;   /* bytes framed so far */
    size_t chunk_left; /* of the current chunk, with its line end */
};

static struct {
    uint16_t port;
    long connections, requests, tokens;
    const char *stamps_path;
    struct connection *connection;
    struct exchange *exchange;
    struct buffer request_bytes;
    long started, finished;
    int epoll;
} client = {.connections = 1, .requests = 1, .tokens = 128};

__attribute__((noreturn)) static void fail(const char *what)
{
    fprintf(stderr, "reference_client: %s\n", what);
    exit(1);
}

/* ---- before the loop ---- */

static void write_request(long index)
{
    struct buffer *all = &client.request_bytes;
    struct buffer body = {0};
    buffer_printf(&body,
                  "{\"model\":\"ground-truth\",\"messages\":[{\"role\":\"user\",\"content\":"
                  "\"Please answer request number %ld.\"}],\"max_tokens\":%ld,\"stream\":true,"
                  "\"stream_options\":{\"include_usage\":true}}",
                  index, client.tokens);
    size_t start = all->length;
    buffer_printf(all,
                  "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                  "Content-Type: application/json\r\nAccept: text/event-stream\r\n"
                  "Accept-Encoding: identity\r\nContent-Length: %zu\r\n\r\n",
                  client.port, body.length);
    buffer_append(all, body.data, body.length);
    buffer_free(&body);
    client.exchange[index].request.length = all->length - start;
}

static void write_requests(void)
{
    client.exchange = allocate(NULL, (size_t)client.requests * sizeof *client.exchange);
    for (long i = 0; i < client.requests; i++) {
        client.exchange[i] = (struct exchange){0};
        write_request(i);
    }
    const char *start = client.request_bytes.data;
    for (long i = 0; i < client.requests; i++) {
        client.exchange[i].request.data = start;
        start += client.exchange[i].request.length;
    }
}

static void connect_all(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(client.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    client.epoll = epoll_create1(EPOLL_CLOEXEC);
    client.connection = allocate(NULL, (size_t)client.connections * sizeof *client.connection);
    for (long i = 0; i < client.connections; i++) {
        struct connection *c = &client.connection[i];
        int on = 1;
        *c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        enable_receive_stamps(c->fd);
        if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0)
            fail("cannot connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(client.epoll, EPOLL_CTL_ADD, c->fd, &event);
    }
}

/* ---- the loop: what is measured ---- */

static void send_next(struct connection *c)
{
    c->exchange = NULL;
    if (client.started == client.requests)
        return;
    struct exchange *e = &client.exchange[client.started++];
    c->exchange = e;
    c->position = c->chunk_left = 0;
    e->sent_ns = monotonic_ns();
    ssize_t sent = send(c->fd, e->request.data, e->request.length, MSG_NOSIGNAL);
    if (sent != (ssize_t)e->request.length)
        fail("a request could not be sent in one piece");
}

/* Steps over what has arrived of the chunked body. True: it is complete. */
static bool frame_chunks(struct connection *c, const struct exchange *e)
{
    for (;;) {
        size_t available = e->bytes.length - c->position;
        if (c->chunk_left > 0) {
            size_t step = c->chunk_left < available ? c->chunk_left : available;
            c->position += step;
            c->chunk_left -= step;
            if (c->chunk_left > 0)
                return false;
            continue;
        }
        const char *line = e->bytes.data + c->position;
        const char *line_end = memmem(line, available, "\r\n", 2);
        if (!line_end)
            return false;
        char *digits_end;
        size_t size = strtoul(line, &digits_end, 16);
        if (digits_end == line)
            fail("a chunk size is no number");
        size_t line_length = (size_t)(line_end - line) + 2;
        if (size == 0) {
            if (available < line_length + 2)
                return false;
            c->position += line_length + 2;
            return true;
        }
        c->position += line_length;
        c->chunk_left = size + 2;
    }
}

/* Takes the response as far as it has arrived. True: it is complete. */
static bool frame(struct connection *c)
{
    struct exchange *e = c->exchange;
    if (e->body_start == 0) {
        const char *end = memmem(e->bytes.data, e->bytes.length, "\r\n\r\n", 4);
        if (!end)
            return false;
        e->body_start = c->position = (size_t)(end - e->bytes.data) + 4;
        struct slice head = {e->bytes.data, e->body_start};
        if (!slice_starts(head, "HTTP/1.1 200 "))
            fail("an answer is not 200");
        if (!memmem(head.data, head.length, "\r\nTransfer-Encoding: chunked\r\n", 30))
            fail("an answer is not chunked");
    }
    return frame_chunks(c, e);
}

static void note_read(struct exchange *e, struct msghdr *message, size_t length)
{
    if (e->read_count == e->read_capacity) {
        e->read_capacity = e->read_capacity ? 2 * e->read_capacity : 256;
        e->reads = allocate(e->reads, e->read_capacity * sizeof *e->reads);
    }
    struct receipt *receipt = &e->reads[e->read_count++];
    receipt->user_ns = monotonic_ns();
    if (!receive_stamp_ns(message, &receipt->real_ns))
        receipt->real_ns = UNSTAMPED;
    e->bytes.length += length;
    receipt->end = e->bytes.length;
}

static void read_arrived(struct connection *c)
{
    _Alignas(struct cmsghdr) char control[STAMP_CONTROL_BYTES];
    struct exchange *e = c->exchange;
    if (!e)
        fail("bytes or an end came that nobody asked for");
    buffer_reserve(&e->bytes, READ_BYTES);
    struct iovec room = {e->bytes.data + e->bytes.length, e->bytes.capacity - e->bytes.length};
    struct msghdr message = {
        .msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(c->fd, &message, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        fail("a connection ended before its answer");
    note_read(e, &message, (size_t)n);
    if (!frame(c))
        return;
    e->complete = true;
    client.finished++;
    send_next(c);
}

static void run(void)
{
    static struct epoll_event events[EVENTS_PER_WAIT];
    for (long i = 0; i < client.connections; i++)
        send_next(&client.connection[i]);
    while (client.finished < client.requests) {
        int count = epoll_wait(client.epoll, events, EVENTS_PER_WAIT, IDLE_LIMIT_MS);
        if (count == 0)
            fail("nothing came for too long");
        for (int i = 0; i < count; i++)
            read_arrived(events[i].data.ptr);
    }
}

/* ---- after the loop ---- */

struct totals {
    long tokens, merged_tokens, reads, unstamped_reads;
    size_t bytes;
};

/* The index of the read that brought byte `end - 1`, at or behind read `from`. */
static size_t read_of(const struct exchange *e, size_t end, size_t from)
{
    while (from < e->read_count - 1 && e->reads[from].end < end)
        from++;
    return from;
}

static int64_t arrival_ns(const struct receipt *receipt, int64_t offset_ns)
{
    return receipt->real_ns == UNSTAMPED ? receipt->user_ns : receipt->real_ns - offset_ns;
}

/* Walks one response chunk by chunk: the server writes one event in each. */
static void count_tokens(const struct exchange *e, struct totals *totals, int64_t offset_ns, FILE *stamps)
{
    size_t position = e->body_start;
    size_t read = 0, token_read = UNFINISHED;
    const char *separator = "";
    for (;;) {
        const char *line = e->bytes.data + position;
        size_t size = strtoul(line, NULL, 16);
        if (size == 0)
            return;
        size_t start = position + (size_t)((const char *)memchr(line, '\n', 32) - line) + 1;
        position = start + size + 2;
        const char *mark = memmem(e->bytes.data + start, size, TOKEN_MARK, sizeof TOKEN_MARK - 1);
        if (!mark || mark[sizeof TOKEN_MARK - 1] == '"')
            continue;
        read = read_of(e, start + size, read);
        totals->tokens++;
        totals->merged_tokens += read == token_read;
        token_read = read;
        if (stamps)
            fprintf(stamps, "%s%lld", separator, (long long)arrival_ns(&e->reads[read], offset_ns));
        separator = ",";
    }
}

static int request_id(const struct exchange *e)
{
    static const char name[] = "\r\nX-Request-Id: ";
    const char *found = memmem(e->bytes.data, e->body_start, name, sizeof name - 1);
    return found ? (int)strtol(found + sizeof name - 1, NULL, 10) : -1;
}

static void report_exchange(const struct exchange *e, struct totals *totals, int64_t offset_ns, FILE *stamps)
{
    totals->reads += (long)e->read_count;
    totals->bytes += e->bytes.length;
    for (size_t i = 0; i < e->read_count; i++)
        totals->unstamped_reads += e->reads[i].real_ns == UNSTAMPED;
    if (stamps)
        fprintf(stamps, "{\"id\":%d,\"sent_ns\":%lld,\"token_ns\":[", request_id(e), (long long)e->sent_ns);
    count_tokens(e, totals, offset_ns, stamps);
    if (stamps)
        fputs("]}\n", stamps);
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void read_options(int count, char **options)
{
    for (int i = 1; i < count; i += 2) {
        const char *value = i + 1 < count ? options[i + 1] : "";
        double number = 0;
        bool numeric = slice_number(slice_of(value), &number) && number >= 1 && number <= 1e7;
        if (strcmp(options[i], "--stamps") == 0 && *value)
            client.stamps_path = value;
        else if (strcmp(options[i], "--port") == 0 && numeric && number <= 65535)
            client.port = (uint16_t)number;
        else if (strcmp(options[i], "--connections") == 0 && numeric)
            client.connections = (long)number;
        else if (strcmp(options[i], "--requests") == 0 && numeric)
            client.requests = (long)number;
        else if (strcmp(options[i], "--tokens") == 0 && numeric)
            client.tokens = (long)number;
        else
            fail("usage: --port N [--connections N] [--requests N] [--tokens N] [--stamps PATH]");
    }
    if (client.port == 0)
        fail("--port is needed");
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    read_options(argc, argv);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    FILE *stamps = client.stamps_path ? fopen(client.stamps_path, "w") : NULL;
    if (client.stamps_path && !stamps)
        fail("the stamps cannot be written there");
    write_requests();
    connect_all();

    int64_t offset_ns = realtime_offset_ns();
    int64_t start_ns = monotonic_ns();
    double start_cpu_s = cpu_s();
    run();
    double loop_cpu_s = cpu_s() - start_cpu_s;
    int64_t wall_ns = monotonic_ns() - start_ns;
    int64_t clock_step_ns = realtime_offset_ns() - offset_ns;

    struct totals totals = {0};
    for (long i = 0; i < client.requests; i++)
        report_exchange(&client.exchange[i], &totals, offset_ns + clock_step_ns / 2, stamps);
    if (stamps && fclose(stamps) != 0)
        fail("the stamps cannot be written there");
    printf("{\"connections\":%ld,\"requests\":%ld,\"tokens\":%ld,\"merged_tokens\":%ld,\"reads\":%ld,"
           "\"unstamped_reads\":%ld,\"bytes\":%zu,\"wall_s\":%.6f,\"cpu_s\":%.6f,\"clock_step_ns\":%lld}\n",
           client.connections, client.requests, totals.tokens, totals.merged_tokens, totals.reads,
           totals.unstamped_reads, totals.bytes, (double)wall_ns / NS_PER_S, loop_cpu_s,
           (long long)clock_step_ns);
    return 0;
}
