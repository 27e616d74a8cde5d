/* What the ground-truth server can be told: one table serves the command line (--ttft-ms 50),
 * /__set?ttft_ms=50, the request header X-Set: ttft_ms=50, and the path prefix
 * /with/ttft_ms=50&itl_ms=5/v1/... of a single request. */
#ifndef MINIONBENCH_GROUND_TRUTH_SETTINGS_H
#define MINIONBENCH_GROUND_TRUTH_SETTINGS_H

#include "bytes.h"

enum fault {
    FAULT_NONE,
    FAULT_STATUS,
    FAULT_HANG,
    FAULT_STALL,
    FAULT_TRUNCATED_JSON,
    FAULT_WRONG_SHAPE,
    FAULT_NO_SSE,
    FAULT_GARBAGE,
    FAULT_INVALID_UTF8,
    FAULT_ERROR_EVENT,
    FAULT_NO_DONE,
    FAULT_CLOSE,
    FAULT_END_EARLY,
    FAULT_RESET,
    FAULT_EXIT,
    FAULT_HTML,
    FAULT_BAD_CHUNK,
    FAULT_SHORT_BODY,
    FAULT_CLOSE_AFTER,
    FAULT_CLOSE_SILENTLY,
    FAULT_UNTIL_CLOSE,
    FAULT_CONTENT_LENGTH,
    FAULT_CONTINUE,
    FAULT_ENDLESS,
    FAULT_ENDLESS_LINE,
    FAULT_ENDLESS_HEADER,
    FAULT_COUNT
};

/* "At fault_at" means: when that many tokens have been sent. */
static const struct {
    const char *name;
    const char *meaning;
} FAULTS[FAULT_COUNT] = {
    [FAULT_NONE] = {"none", "no fault"},
    [FAULT_STATUS] = {"http-NNN", "status NNN (300 to 599) with a JSON error; 429 and 503 carry Retry-After"},
    [FAULT_HANG] = {"hang", "accept the request, never answer"},
    [FAULT_STALL] = {"stall", "at fault_at fall silent, connection open"},
    [FAULT_TRUNCATED_JSON] = {"truncated-json", "the event at fault_at holds cut JSON; the stream goes on"},
    [FAULT_WRONG_SHAPE] = {"wrong-shape", "the event at fault_at is JSON of another shape"},
    [FAULT_NO_SSE] = {"no-sse", "at fault_at lines that are no SSE; the stream goes on"},
    [FAULT_GARBAGE] = {"garbage", "bytes that are no HTTP instead of an answer, then close"},
    [FAULT_INVALID_UTF8] = {"invalid-utf8", "the event at fault_at is no UTF-8"},
    [FAULT_ERROR_EVENT] = {"error-event", "at fault_at an error event, then [DONE] and a proper end"},
    [FAULT_NO_DONE] = {"no-done", "everything but [DONE]"},
    [FAULT_CLOSE] = {"close", "at fault_at close (FIN) without the end of the chunked body"},
    [FAULT_END_EARLY] = {"end-early", "at fault_at a proper end of the chunked body, then close"},
    [FAULT_RESET] = {"reset", "at fault_at reset the connection (RST)"},
    [FAULT_EXIT] = {"exit", "at fault_at the server process exits with code 3"},
    [FAULT_HTML] = {"html", "status 200 with an HTML page"},
    [FAULT_BAD_CHUNK] = {"bad-chunk", "at fault_at a chunk size that is no number; connection open"},
    [FAULT_SHORT_BODY] = {"short-body", "Content-Length promises more than comes, then close"},
    [FAULT_CLOSE_AFTER] = {"close-after", "a good answer with Connection: close, then close"},
    [FAULT_CLOSE_SILENTLY] = {"close-silently", "a good answer, then close without having said so"},
    [FAULT_UNTIL_CLOSE] = {"until-close", "a good answer as an HTTP/1.0 body that ends with the connection"},
    [FAULT_CONTENT_LENGTH] = {"content-length", "a good stream framed by Content-Length"},
    [FAULT_CONTINUE] = {"continue", "a good answer behind an unasked 100 Continue"},
    [FAULT_ENDLESS] = {"endless", "at fault_at events without end, as fast as they are read"},
    [FAULT_ENDLESS_LINE] = {"endless-line", "at fault_at one event that never ends"},
    [FAULT_ENDLESS_HEADER] = {"endless-header", "header lines without end"},
};

enum usage_policy { USAGE_NEVER, USAGE_ASKED, USAGE_ALWAYS };

static const char *const USAGE_POLICIES[] = {"never", "asked", "always", NULL};
static const char *const REASONING_FIELDS[] = {"reasoning_content", "reasoning", NULL};

struct settings {
    double ttft_ms;
    double itl_ms;
    double role_ms;
    double header_ms;
    double keepalive_ms;
    long tokens;
    long reasoning;
    long reasoning_field;
    long per_event;
    long per_write;
    long finish_event;
    long honour_max;
    long usage;
    long prompt_tokens;
    long crlf;
    long split;
    long fault;
    long status;
    long fault_at;
    long fault_every;
    long fault_from;
    long retry_after_s;
};

#define MAX_TOKENS 10000000
#define MAX_MS 86400000.0

#define DEFAULT_SETTINGS                                                                      \
    (struct settings)                                                                         \
    {                                                                                         \
        .ttft_ms = 50, .itl_ms = 10, .role_ms = -1, .tokens = 128, .per_event = 1,            \
        .per_write = 1, .finish_event = 1, .honour_max = 1, .usage = USAGE_ASKED,             \
        .prompt_tokens = 16, .fault_at = 2, .fault_every = 1, .retry_after_s = 2              \
    }

enum setting_kind { MILLISECONDS, COUNT, CHOICE, FAULT_NAME };

struct setting {
    const char *key;
    enum setting_kind kind;
    size_t offset;
    double least;
    double most;
    const char *const *choices;
    const char *help;
};

#define AT(field) offsetof(struct settings, field)

static const struct setting SETTINGS[] = {
    {"ttft_ms", MILLISECONDS, AT(ttft_ms), 0, MAX_MS, NULL, "first token after the request's arrival"},
    {"itl_ms", MILLISECONDS, AT(itl_ms), 0, MAX_MS, NULL, "gap between tokens; 0: as fast as they are read"},
    {"role_ms", MILLISECONDS, AT(role_ms), -1, MAX_MS, NULL,
     "a role-only event at this time; -1: the role comes with the first token"},
    {"header_ms", MILLISECONDS, AT(header_ms), -1, MAX_MS, NULL,
     "the header at this time (tokens wait for it); -1: with the first event"},
    {"keepalive_ms", MILLISECONDS, AT(keepalive_ms), 0, MAX_MS, NULL,
     "comment lines this often while the stream is silent; 0: none"},
    {"tokens", COUNT, AT(tokens), 0, MAX_TOKENS, NULL, "visible tokens of a natural answer"},
    {"reasoning", COUNT, AT(reasoning), 0, MAX_TOKENS, NULL, "reasoning tokens before them (chat)"},
    {"reasoning_field", CHOICE, AT(reasoning_field), 0, 0, REASONING_FIELDS, "name of their delta"},
    {"per_event", COUNT, AT(per_event), 1, MAX_TOKENS, NULL, "tokens in one event"},
    {"per_write", COUNT, AT(per_write), 1, MAX_TOKENS, NULL, "events in one write"},
    {"finish_event", COUNT, AT(finish_event), 0, 1, NULL,
     "1: finish_reason in an event of its own; 0: with the last token"},
    {"honour_max", COUNT, AT(honour_max), 0, 1, NULL,
     "1: cut at the request's max_tokens (reach it exactly where ignore_eos is true)"},
    {"usage", CHOICE, AT(usage), 0, 0, USAGE_POLICIES, "usage event"},
    {"prompt_tokens", COUNT, AT(prompt_tokens), 0, MAX_TOKENS, NULL, "what usage says of the prompt"},
    {"crlf", COUNT, AT(crlf), 0, 1, NULL, "1: event lines end with CR LF"},
    {"split", COUNT, AT(split), 0, MAX_TOKENS, NULL, "send in pieces of so many bytes; 0: whole"},
    {"fault", FAULT_NAME, AT(fault), 0, 0, NULL, "what goes wrong (list below)"},
    {"fault_at", COUNT, AT(fault_at), 0, MAX_TOKENS, NULL, "at which token"},
    {"fault_every", COUNT, AT(fault_every), 1, MAX_TOKENS, NULL, "in every so many-th request"},
    {"fault_from", COUNT, AT(fault_from), 0, MAX_TOKENS, NULL, "from this request on (first: 0)"},
    {"retry_after_s", COUNT, AT(retry_after_s), 0, MAX_TOKENS, NULL, "Retry-After of 429 and 503"},
};

#undef AT

enum { SETTING_COUNT = sizeof SETTINGS / sizeof SETTINGS[0] };

static inline bool set_fault(struct settings *settings, struct slice name)
{
    double status;
    if (slice_starts(name, "http-") && slice_number(slice_from(name, 5), &status)) {
        settings->fault = FAULT_STATUS;
        settings->status = (long)status;
        return status >= 300 && status <= 599;
    }
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (i != FAULT_STATUS && slice_is(name, FAULTS[i].name)) {
            settings->fault = i;
            return true;
        }
    }
    return false;
}

static inline bool set_one(struct settings *settings, struct slice key, struct slice value)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting *s = &SETTINGS[i];
        if (!slice_is(key, s->key))
            continue;
        void *field = (char *)settings + s->offset;
        if (s->kind == FAULT_NAME)
            return set_fault(settings, value);
        if (s->kind == CHOICE) {
            for (long c = 0; s->choices[c]; c++) {
                if (slice_is(value, s->choices[c])) {
                    *(long *)field = c;
                    return true;
                }
            }
            return false;
        }
        double number;
        if (!slice_number(value, &number) || number < s->least || number > s->most)
            return false;
        if (s->kind == MILLISECONDS) {
            *(double *)field = number;
            return true;
        }
        *(long *)field = (long)number;
        return number == (double)(long)number;
    }
    return false;
}

/* Applies "key=value&key=value". On a bad pair returns false, *bad names it, and the settings are
 * as they were. */
static inline bool set_pairs(struct settings *settings, struct slice pairs, struct slice *bad)
{
    struct settings changed = *settings;
    while (pairs.length > 0) {
        struct slice value;
        *bad = slice_until(pairs, '&', &pairs);
        struct slice key = slice_until(*bad, '=', &value);
        if (bad->length > 0 && !set_one(&changed, key, value))
            return false;
    }
    *settings = changed;
    return true;
}

#endif
