/* Growing buffers, slices of bytes, and just enough JSON reading to understand a request.
 * The including file defines _GNU_SOURCE before its first include. */
#ifndef MINIONBENCH_BYTES_H
#define MINIONBENCH_BYTES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- growing buffer ---- */

struct buffer {
    char *data;
    size_t length;
    size_t capacity;
};

static inline void *allocate(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes);
    if (!memory) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* Makes room for `extra` more bytes behind the used ones. */
static inline void buffer_reserve(struct buffer *b, size_t extra)
{
    if (b->length + extra <= b->capacity)
        return;
    size_t capacity = b->capacity ? b->capacity : 1024;
    while (capacity < b->length + extra)
        capacity *= 2;
    b->data = allocate(b->data, capacity);
    b->capacity = capacity;
}

static inline void buffer_append(struct buffer *b, const void *data, size_t length)
{
    if (length == 0)
        return;
    buffer_reserve(b, length);
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

__attribute__((format(printf, 2, 3)))
static inline void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int needed = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (needed <= 0)
        return;
    buffer_reserve(b, (size_t)needed + 1); /* vsnprintf also writes a zero */
    va_start(arguments, format);
    vsnprintf(b->data + b->length, (size_t)needed + 1, format, arguments);
    va_end(arguments);
    b->length += (size_t)needed;
}

/* Removes the first `count` bytes. */
static inline void buffer_consume(struct buffer *b, size_t count)
{
    b->length -= count;
    if (b->length > 0)
        memmove(b->data, b->data + count, b->length);
}

static inline void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

/* ---- slices: bytes that belong to someone else ---- */

struct slice {
    const char *data;
    size_t length;
};

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline bool slice_is(struct slice s, const char *text)
{
    return s.length == strlen(text) && memcmp(s.data, text, s.length) == 0;
}

static inline bool slice_starts(struct slice s, const char *text)
{
    size_t length = strlen(text);
    return s.length >= length && memcmp(s.data, text, length) == 0;
}

static inline struct slice slice_from(struct slice s, size_t start)
{
    return (struct slice){s.data + start, s.length - start};
}

/* Splits off what precedes `separator`; *rest is what follows it (empty when there is none). */
static inline struct slice slice_until(struct slice s, char separator, struct slice *rest)
{
    const char *end = s.length ? memchr(s.data, separator, s.length) : NULL;
    size_t length = end ? (size_t)(end - s.data) : s.length;
    *rest = slice_from(s, end ? length + 1 : length);
    return (struct slice){s.data, length};
}

static inline struct slice slice_trimmed(struct slice s)
{
    while (s.length && strchr(" \t\r\n", s.data[0]))
        s = slice_from(s, 1);
    while (s.length && strchr(" \t\r\n", s.data[s.length - 1]))
        s.length--;
    return s;
}

/* Reads the whole slice as a number; false when it is none. */
static inline bool slice_number(struct slice s, double *number)
{
    char text[64];
    if (s.length == 0 || s.length >= sizeof text)
        return false;
    memcpy(text, s.data, s.length);
    text[s.length] = 0;
    char *end;
    *number = strtod(text, &end);
    return *end == 0 && *number == *number;
}

/* ---- reading members of a JSON object, without building a tree ---- */

static inline const char *json_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    return p;
}

/* The place behind the string that opens at p; NULL when it does not end. */
static inline const char *json_string_end(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '"')
            return p + 1;
    }
    return NULL;
}

/* The place behind the value that begins at p; NULL when it does not end. */
static inline const char *json_value_end(const char *p, const char *end)
{
    int depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = json_string_end(p, end);
            if (!p || depth == 0)
                return p;
            continue;
        }
        if (depth == 0 && strchr(",}] \t\r\n", *p))
            return p;
        if (*p == '{' || *p == '[')
            depth++;
        else if ((*p == '}' || *p == ']') && --depth == 0)
            return p + 1;
        p++;
    }
    return depth == 0 ? p : NULL;
}

/* Whether the text is one object whose brackets and strings all close. */
static inline bool json_is_object(struct slice text)
{
    const char *end = text.data + text.length;
    const char *start = json_space(text.data, end);
    if (start == end || *start != '{')
        return false;
    const char *last = json_value_end(start, end);
    return last && last > start && json_space(last, end) == end && last[-1] == '}';
}

/* Finds the member `key` of a JSON object. Returns false when the text is no object as far as it
 * was read; a missing key leaves *value empty. */
static inline bool json_member(struct slice object, const char *key, struct slice *value)
{
    const char *end = object.data + object.length;
    const char *p = json_space(object.data, end);
    *value = (struct slice){NULL, 0};
    if (p == end || *p != '{')
        return false;
    p = json_space(p + 1, end);
    if (p < end && *p == '}')
        return true;
    while (p < end && *p == '"') {
        const char *name = p + 1;
        p = json_string_end(p, end);
        if (!p)
            return false;
        bool wanted = slice_is((struct slice){name, (size_t)(p - 1 - name)}, key);
        p = json_space(p, end);
        if (p == end || *p != ':')
            return false;
        const char *start = json_space(p + 1, end);
        p = json_value_end(start, end);
        if (!p || p == start)
            return false;
        if (wanted) {
            *value = (struct slice){start, (size_t)(p - start)};
            return true;
        }
        p = json_space(p, end);
        if (p < end && *p == '}')
            return true;
        if (p == end || *p != ',')
            return false;
        p = json_space(p + 1, end);
    }
    return false;
}

#endif
