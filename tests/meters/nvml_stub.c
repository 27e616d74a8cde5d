/* A libnvidia-ml.so.1 without a GPU: it says what the file named by $NVML_STUB says at the moment.
 *
 * One thing per line:
 *   init CODE | count CODE | list CODE      the call fails with this NVML error
 *   drawing CODE                            so does the list of processes that draw
 *   gpu NAME BYTES                          a device, the first one is number 0
 *   compute GPU PID BYTES INSTANCE          a process that computes; BYTES -1 is "not available"
 *   graphics GPU PID BYTES INSTANCE         a process that draws
 *   energy GPU MILLIJOULES                  its counter; a GPU without such a line has none
 *   power GPU MILLIWATTS                    its power, as the plain query tells it, likewise
 *   instant GPU MILLIWATTS                  its power at the instant, likewise
 *   counter CODE | watts CODE               the calls for energy and for power fail
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, TOO_SMALL = 7, POWER_INSTANT = 186 };

typedef struct {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance;
    unsigned compute_instance;
} process_t;

typedef struct {
    unsigned long long total, free, used;
} memory_t;

/* Calls `visit` for each line of a kind until it returns something other than 0. */
static int lines(const char *kind, int (*visit)(const char *, void *), void *with)
{
    const char *path = getenv("NVML_STUB");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256];
    int result = 0;
    size_t length = strlen(kind);
    while (file && !result && fgets(line, sizeof line, file))
        if (!strncmp(line, kind, length) && line[length] == ' ')
            result = visit(line + length + 1, with);
    if (file)
        fclose(file);
    return result;
}

static int code(const char *rest, void *unused)
{
    (void)unused;
    return atoi(rest);
}

static int count_one(const char *rest, void *count)
{
    (void)rest;
    ++*(unsigned *)count;
    return 0;
}

static unsigned devices(void)
{
    unsigned count = 0;
    lines("gpu", count_one, &count);
    return count;
}

int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    return lines("init", code, NULL);
}

int nvmlShutdown(void) { return SUCCESS; }

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    snprintf(version, length, "999.1");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = devices();
    return lines("count", code, NULL);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (index >= devices())
        return INVALID;
    *device = (void *)(unsigned long)(index + 1);
    return SUCCESS;
}

struct device {
    unsigned long left;
    char name[64];
    unsigned long long total;
};

static int the_device(const char *rest, void *wanted)
{
    struct device *device = wanted;
    return --device->left == 0 && sscanf(rest, "%63s %llu", device->name, &device->total) == 2;
}

static struct device device_of(void *handle)
{
    struct device device = {.left = (unsigned long)handle};
    lines("gpu", the_device, &device);
    return device;
}

int nvmlDeviceGetName(void *handle, char *name, unsigned length)
{
    snprintf(name, length, "%s", device_of(handle).name);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory)
{
    memset(memory, 0, sizeof *memory);
    memory->total = device_of(handle).total;
    return SUCCESS;
}

typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    unsigned type, result;
    union {
        double real;
        unsigned whole;
        unsigned long long large;
    } value;
} field_t;

struct figure {
    unsigned long device;
    unsigned long long value;
};

static int the_figure(const char *rest, void *wanted)
{
    struct figure *figure = wanted;
    unsigned long device;
    unsigned long long value;
    if (sscanf(rest, "%lu %llu", &device, &value) != 2 || device + 1 != figure->device)
        return 0;
    figure->value = value;
    return 1;
}

/* A figure of a device, unless the calls of a kind fail. */
static int figure_of(const char *kind, const char *failing, void *handle, unsigned long long *value)
{
    struct figure figure = {(unsigned long)handle, 0};
    int refused = lines(failing, code, NULL);
    if (refused)
        return refused;
    if (!lines(kind, the_figure, &figure))
        return NOT_SUPPORTED;
    *value = figure.value;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules)
{
    return figure_of("energy", "counter", handle, millijoules);
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts)
{
    unsigned long long value = 0;
    int refused = figure_of("power", "watts", handle, &value);
    *milliwatts = (unsigned)value;
    return refused;
}

int nvmlDeviceGetFieldValues(void *handle, int count, field_t *fields)
{
    int refused = lines("watts", code, NULL);
    for (int i = 0; i < count && !refused; i++) {
        unsigned long long value = 0;
        fields[i].result = NOT_SUPPORTED;
        if (fields[i].field == POWER_INSTANT)
            fields[i].result = (unsigned)figure_of("instant", "watts", handle, &value);
        fields[i].value.whole = (unsigned)value;
    }
    return refused;
}

struct listing {
    unsigned long device;
    unsigned room, count;
    process_t *found;
};

static int add(const char *rest, void *with)
{
    struct listing *listing = with;
    unsigned long device;
    long long used;
    process_t process = {0};
    if (sscanf(rest, "%lu %u %lld %u", &device, &process.pid, &used, &process.gpu_instance) != 4)
        return INVALID;
    process.used = (unsigned long long)used;
    if (device + 1 != listing->device)
        return 0;
    if (listing->count < listing->room)
        listing->found[listing->count] = process;
    ++listing->count;
    return 0;
}

static int listed(const char *kind, void *handle, unsigned *count, process_t *found)
{
    struct listing listing = {(unsigned long)handle, found ? *count : 0, 0, found};
    int refused = lines("list", code, NULL);
    if (!refused)
        refused = lines(kind, add, &listing);
    if (refused)
        return refused;
    *count = listing.count;
    return listing.count > listing.room ? TOO_SMALL : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process_t *found)
{
    return listed("compute", handle, count, found);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, process_t *found)
{
    int refused = lines("drawing", code, NULL);
    return refused ? refused : listed("graphics", handle, count, found);
}
