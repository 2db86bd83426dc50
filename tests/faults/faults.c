/* A file layer that fails: at the k-th operation below a folder it kills the process, or returns an error, and it can
   log what was done. Preloaded into a process, idle until fault_arm. Written for tests; Linux and glibc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) (*(__typeof__(&name))dlsym(RTLD_NEXT, #name))
enum { KILL = 0, ONCE = 1, READS = 2, WHOLE = 4096 };

static char root[WHOLE];
static long at = -1;
static int how, only_once, reads_too, journal = -1;
static atomic_long count;

/* From the k-th operation below `folder` on (or at that alone), kill (`number` 0) or fail with that errno. */
void fault_arm(const char *folder, long k, int number, int flags, const char *log) {
  snprintf(root, sizeof root, "%s", folder);
  at = k, how = number, only_once = flags & ONCE, reads_too = flags & READS, count = 0;
  journal = log ? REAL(open)(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666) : -1;
}
long fault_count(void) { return count; }

static const char *where(int folder, const char *path, char *buffer) {
  if (path[0] == '/') return path;
  char link[64], base[WHOLE / 2];
  snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
  ssize_t n = readlink(link, base, sizeof base - 1);
  base[n < 0 ? 0 : n] = 0;
  snprintf(buffer, WHOLE, path[0] ? "%s/%s" : "%s", base, path);
  return buffer;
}
static int below(const char *path) {
  return root[0] && !strncmp(path, root, strlen(root));
}
/* Count an operation; 0, or the error to fail with. Of a write that is killed, the first half is done. */
static int step(int handle, const void *data, size_t size) {
  long n = count++;
  if (at < 0 || n < at || (only_once && n > at)) return 0;
  if (how) return how;
  if (size > 1 && REAL(write)(handle, data, size / 2) < 0) return EIO;
  return kill(getpid(), SIGKILL);
}
static void note(const char *what, const char *one, const char *two, const void *data, size_t size) {
  if (journal < 0) return;
  char *line = malloc(2 * WHOLE + 2 * size + 64);
  int n = sprintf(line, "%s\t%s\t%s\t", what, one, two);
  for (size_t i = 0; i < size; i++) n += sprintf(line + n, "%02x", ((const unsigned char *)data)[i]);
  line[n++] = '\n';
  if (REAL(write)(journal, line, n) != n) abort();
  free(line);
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
  char buffer[WHOLE];
  const char *full = where(folder, path, buffer);
  int writes = flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC);
  if (!below(full) || !(writes || reads_too)) return REAL(openat)(folder, path, flags, mode);
  struct stat old;
  int error = step(-1, 0, 0), is_new = stat(full, &old) != 0;
  if (error) return errno = error, -1;
  int handle = REAL(openat)(folder, path, flags, mode);
  if (handle >= 0 && writes && (is_new || flags & O_TRUNC)) note(is_new ? "create" : "truncate", full, "", 0, 0);
  return handle;
}
#define MODE mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE return opened(folder, path, flags, mode); }

ssize_t write(int handle, const void *data, size_t size) {
  char buffer[WHOLE];
  const char *full = where(handle, "", buffer);
  if (!below(full)) return REAL(write)(handle, data, size);
  int error = step(handle, data, size);
  if (error) return errno = error, -1;
  ssize_t done = REAL(write)(handle, data, size);
  if (done > 0) note("write", full, "", data, done);
  return done;
}
int fsync(int handle) {
  char buffer[WHOLE];
  const char *full = where(handle, "", buffer);
  if (!below(full)) return REAL(fsync)(handle);
  int error = step(-1, 0, 0);
  if (error) return errno = error, -1;
  note("fsync", full, "", 0, 0);
  return 0; /* nothing here needs the disk */
}
#define PATHS(what, first, one, second, two, call)                                              \
  char a[WHOLE], b[WHOLE];                                                                      \
  const char *from = where(first, one, a), *to = where(second, two, b);                         \
  if (!below(from) && !below(to)) return call;                                                  \
  int error = step(-1, 0, 0);                                                                   \
  if (error) return errno = error, -1;                                                          \
  int done = call;                                                                              \
  if (!done) note(what, from, to, 0, 0);                                                        \
  return done;
int rename(const char *x, const char *y) { PATHS("rename", AT_FDCWD, x, AT_FDCWD, y, REAL(rename)(x, y)) }
int renameat2(int f, const char *x, int g, const char *y, unsigned flags) {
  PATHS(flags ? "exchange" : "rename", f, x, g, y, REAL(renameat2)(f, x, g, y, flags))
}
int link(const char *x, const char *y) { PATHS("link", AT_FDCWD, x, AT_FDCWD, y, REAL(link)(x, y)) }
int linkat(int f, const char *x, int g, const char *y, int flags) {
  PATHS("link", f, x, g, y, REAL(linkat)(f, x, g, y, flags))
}
int unlink(const char *x) { PATHS("unlink", AT_FDCWD, x, AT_FDCWD, x, REAL(unlink)(x)) }
int unlinkat(int f, const char *x, int flags) { PATHS("unlink", f, x, f, x, REAL(unlinkat)(f, x, flags)) }
int rmdir(const char *x) { PATHS("unlink", AT_FDCWD, x, AT_FDCWD, x, REAL(rmdir)(x)) }
int mkdir(const char *x, mode_t m) { PATHS("mkdir", AT_FDCWD, x, AT_FDCWD, x, REAL(mkdir)(x, m)) }
int mkdirat(int f, const char *x, mode_t m) { PATHS("mkdir", f, x, f, x, REAL(mkdirat)(f, x, m)) }
