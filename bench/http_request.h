/* Reading HTTP/1 requests out of a buffer that may not hold all of one yet.
 * The including file defines _GNU_SOURCE before its first include. */
#ifndef MINIONBENCH_HTTP_REQUEST_H
#define MINIONBENCH_HTTP_REQUEST_H

#include "bytes.h"

enum {
    MAX_HEAD_BYTES = 64 * 1024,
    MAX_BODY_BYTES = 256 * 1024 * 1024,
};

struct request {
    struct slice head, body;
    struct slice method, path;
    size_t size; /* on the wire */
    bool close_after;
};

enum parsed { INCOMPLETE, COMPLETE, MALFORMED, TOO_LARGE };

/* The value of a header; empty when it is not there. */
static inline struct slice header_value(struct slice head, const char *name)
{
    size_t name_length = strlen(name);
    while (head.length > 0) {
        struct slice line = slice_until(head, '\n', &head);
        if (line.length > name_length && line.data[name_length] == ':'
            && strncasecmp(line.data, name, name_length) == 0)
            return slice_trimmed(slice_from(line, name_length + 1));
    }
    return (struct slice){NULL, 0};
}

static inline bool same_word(struct slice s, const char *word)
{
    return s.length == strlen(word) && strncasecmp(s.data, word, s.length) == 0;
}

/* Joins the chunks of a body; *size is set to its bytes on the wire. */
static inline enum parsed join_chunks(struct slice wire, struct buffer *body, size_t *size)
{
    body->length = 0;
    size_t position = 0;
    for (;;) {
        struct slice rest = slice_from(wire, position);
        const char *line_end = memmem(rest.data, rest.length, "\r\n", 2);
        if (!line_end)
            return INCOMPLETE;
        char *digits_end;
        unsigned long chunk = strtoul(rest.data, &digits_end, 16);
        if (digits_end == rest.data)
            return MALFORMED;
        if (chunk > MAX_BODY_BYTES || body->length + chunk > MAX_BODY_BYTES)
            return TOO_LARGE;
        size_t start = position + (size_t)(line_end - rest.data) + 2;
        if (wire.length < start + chunk + 2)
            return INCOMPLETE;
        buffer_append(body, wire.data + start, chunk);
        position = start + chunk + 2;
        if (chunk == 0) {
            *size = position;
            return COMPLETE;
        }
    }
}

static inline enum parsed parse_head(struct slice in, struct request *request)
{
    const char *end = memmem(in.data, in.length, "\r\n\r\n", 4);
    if (!end)
        return in.length > MAX_HEAD_BYTES ? TOO_LARGE : INCOMPLETE;
    struct slice rest;
    request->head = (struct slice){in.data, (size_t)(end - in.data) + 4};
    struct slice line = slice_until(request->head, '\n', &rest);
    request->method = slice_until(line, ' ', &line);
    request->path = slice_until(line, ' ', &line);
    if (!slice_starts(line, "HTTP/1."))
        return MALFORMED;
    struct slice connection = header_value(request->head, "connection");
    request->close_after = same_word(connection, "close")
                           || (slice_starts(line, "HTTP/1.0") && !same_word(connection, "keep-alive"));
    return COMPLETE;
}

static inline enum parsed parse_request(struct slice in, struct request *request)
{
    static struct buffer joined;
    enum parsed parsed = parse_head(in, request);
    if (parsed != COMPLETE)
        return parsed;
    struct slice wire = slice_from(in, request->head.length);
    size_t size = 0;
    if (same_word(header_value(request->head, "transfer-encoding"), "chunked")) {
        parsed = join_chunks(wire, &joined, &size);
        request->body = (struct slice){joined.data, joined.length};
    } else {
        double length = 0;
        struct slice stated = header_value(request->head, "content-length");
        if (stated.length && (!slice_number(stated, &length) || length < 0))
            return MALFORMED;
        if (length > MAX_BODY_BYTES)
            return TOO_LARGE;
        size = (size_t)length;
        parsed = wire.length < size ? INCOMPLETE : COMPLETE;
        request->body = (struct slice){wire.data, size};
    }
    request->size = request->head.length + size;
    return parsed;
}

#endif
