// Makes the n-th call of one kind fail, once. Loaded into a program by LD_PRELOAD.
//
// DUOGUARD_FAULT=KIND:N says which: open, read, write, rename, map, sync, or allocate; of maps and
// allocations, only files and blocks of at least a mebibyte count. When the call comes, a line
// "KIND DESCRIPTOR OBJECT" is written to the file that DUOGUARD_FAULT_FIRED names, where OBJECT is
// the program or library whose code asked, past those of C and C++; where there is no such file
// afterwards, the program makes fewer calls.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LARGE (1 << 20)

static const char *kind = "";
static long target = -1;
static const char *fired = NULL;
static atomic_long calls = 0;

__attribute__((constructor)) static void begin(void) {
    const char *fault = getenv("DUOGUARD_FAULT");
    const char *colon = fault ? strchr(fault, ':') : NULL;
    fired = getenv("DUOGUARD_FAULT_FIRED");
    if (!colon || !fired) return;
    kind = strndup(fault, (size_t)(colon - fault));
    target = atol(colon + 1);
}

// Writes the name of the object file whose code asked: the first on the stack that is none of this
// library, C's, C++'s or the dynamic loader.
static void write_object(char *name, size_t size) {
    static const char *const PASSED[] = {"shim.so", "libc.so", "libstdc++.so", "ld-linux"};
    void *frames[64];
    int count = backtrace(frames, 64);
    snprintf(name, size, "?");
    for (int i = 0; i < count; i++) {
        Dl_info object;
        const char *file;
        int passed = 0;
        if (!dladdr(frames[i], &object) || !object.dli_fname) continue;
        file = strrchr(object.dli_fname, '/');
        file = file ? file + 1 : object.dli_fname;
        for (size_t j = 0; j < sizeof PASSED / sizeof PASSED[0]; j++)
            passed |= strncmp(file, PASSED[j], strlen(PASSED[j])) == 0;
        if (passed) continue;
        snprintf(name, size, "%s", file);
        return;
    }
}

// Whether this call is the one; then errno is set and the line is written.
static int fails(const char *name, int descriptor, int error) {
    if (target < 0 || strcmp(name, kind) != 0) return 0;
    if (atomic_fetch_add(&calls, 1) != target) return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, fired, O_WRONLY | O_CREAT | O_APPEND, 0600);
    char object[128], line[192];
    // It may ask for memory, and load a library: that is no fault.
    target = -1;
    write_object(object, sizeof object);
    int length = snprintf(line, sizeof line, "%s %d %s\n", name, descriptor, object);
    syscall(SYS_write, file, line, length);
    syscall(SYS_close, file);
    errno = error;
    return 1;
}

// As fails, of a file, a pipe or a device: what a program counts and wakes itself with (eventfd,
// sockets of its own) never runs out of space, and is not tried.
static int fails_on(const char *name, int file, int error) {
    struct stat found;
    if (target < 0 || strcmp(name, kind) != 0) return 0;
    if (syscall(SYS_fstat, file, &found) == 0 &&
        (S_ISSOCK(found.st_mode) || (found.st_mode & S_IFMT) == 0))
        return 0;
    return fails(name, file, error);
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    // Descriptors cannot run out in one place alone, and directories count as well.
    if (fails("open", -1, EMFILE)) return -1;
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(flags)                               \
    mode_t mode = 0;                              \
    if ((flags) & (O_CREAT | O_TMPFILE)) {        \
        va_list rest;                             \
        va_start(rest, flags);                    \
        mode = va_arg(rest, mode_t);              \
        va_end(rest);                             \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return open_at(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return open_at(folder, path, flags, mode);
}

ssize_t read(int file, void *bytes, size_t length) {
    if (fails_on("read", file, EIO)) return -1;
    return syscall(SYS_read, file, bytes, length);
}
ssize_t pread64(int file, void *bytes, size_t length, off64_t offset) {
    if (fails_on("read", file, EIO)) return -1;
    return syscall(SYS_pread64, file, bytes, length, offset);
}
ssize_t readv(int file, const struct iovec *parts, int count) {
    if (fails_on("read", file, EIO)) return -1;
    return syscall(SYS_readv, file, parts, count);
}
ssize_t write(int file, const void *bytes, size_t length) {
    if (fails_on("write", file, ENOSPC)) return -1;
    return syscall(SYS_write, file, bytes, length);
}
ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t offset) {
    if (fails_on("write", file, ENOSPC)) return -1;
    return syscall(SYS_pwrite64, file, bytes, length, offset);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    if (fails_on("write", file, ENOSPC)) return -1;
    return syscall(SYS_writev, file, parts, count);
}

int rename(const char *from, const char *to) {
    if (fails("rename", -1, EIO)) return -1;
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int old, const char *from, int new, const char *to) {
    if (fails("rename", -1, EIO)) return -1;
    return (int)syscall(SYS_renameat2, old, from, new, to, 0);
}
int renameat2(int old, const char *from, int new, const char *to, unsigned flags) {
    if (fails("rename", -1, EIO)) return -1;
    return (int)syscall(SYS_renameat2, old, from, new, to, flags);
}

// Files and large blocks: a thread's signal stack is small, and Rust's own code, which makes it,
// ends the program where it cannot.
static int map_fails(size_t length, int file) {
    return (file >= 0 || length >= LARGE) && fails("map", file, ENOMEM);
}

void *mmap(void *at, size_t length, int protection, int flags, int file, off_t offset) {
    if (map_fails(length, file)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, length, protection, flags, file, offset);
}
void *mmap64(void *at, size_t length, int protection, int flags, int file, off64_t offset) {
    if (map_fails(length, file)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, length, protection, flags, file, offset);
}

int fsync(int file) {
    if (fails("sync", file, EIO)) return -1;
    return (int)syscall(SYS_fsync, file);
}
int fdatasync(int file) {
    if (fails("sync", file, EIO)) return -1;
    return (int)syscall(SYS_fdatasync, file);
}

// The C library's own, under the names that need no lookup.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t bytes) {
    if (bytes >= LARGE && fails("allocate", -1, ENOMEM)) return NULL;
    return __libc_malloc(bytes);
}
void *calloc(size_t count, size_t bytes) {
    if (count * bytes >= LARGE && fails("allocate", -1, ENOMEM)) return NULL;
    return __libc_calloc(count, bytes);
}
void *realloc(void *block, size_t bytes) {
    if (bytes >= LARGE && fails("allocate", -1, ENOMEM)) return NULL;
    return __libc_realloc(block, bytes);
}
int posix_memalign(void **block, size_t alignment, size_t bytes) {
    if (bytes >= LARGE && fails("allocate", -1, ENOMEM)) return ENOMEM;
    *block = __libc_memalign(alignment, bytes);
    return *block ? 0 : ENOMEM;
}
void *aligned_alloc(size_t alignment, size_t bytes) {
    if (bytes >= LARGE && fails("allocate", -1, ENOMEM)) return NULL;
    return __libc_memalign(alignment, bytes);
}
