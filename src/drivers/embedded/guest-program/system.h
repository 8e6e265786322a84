/* Linux on i386 without a C library: the system calls that the program makes, and what they take. */
#ifndef SYSTEM_H
#define SYSTEM_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned int size;

#define NULL ((void *)0)

enum {
  sys_exit = 1, sys_fork = 2, sys_read = 3, sys_write = 4, sys_open = 5, sys_close = 6, sys_unlink = 10,
  sys_execve = 11, sys_chdir = 12, sys_mknod = 14, sys_kill = 37, sys_ioctl = 54, sys_umask = 60, sys_dup2 = 63,
  sys_setsid = 66, sys_readlink = 85, sys_mmap = 90, sys_munmap = 91, sys_ioperm = 101, sys_wait4 = 114, sys_fchdir = 133,
  sys_poll = 168, sys_prctl = 172, sys_rt_sigaction = 174, sys_rt_sigprocmask = 175, sys_ugetrlimit = 191,
  sys_mmap2 = 192, sys_chroot = 61, sys_nanosleep = 162, sys_setrlimit = 75, sys_getpid = 20,
  sys_setgroups = 206, sys_setresuid = 208, sys_setresgid = 210, sys_getdents64 = 220, sys_fcntl = 221,
  sys_openat = 295, sys_signalfd4 = 327, sys_pipe2 = 331, sys_fsopen = 430, sys_fsconfig = 431, sys_fsmount = 432
};

/* Negative results are error numbers. */
static inline int call5(int number, u32 a, u32 b, u32 c, u32 d, u32 e) {
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
  return result;
}

#define call(number, a, b, c, d) call5(number, (u32)(a), (u32)(b), (u32)(c), (u32)(d), 0)

enum { eintr = 4, enoexec = 8, eagain = 11, enoent = 2, eacces = 13, enotdir = 20, einval = 22,
  e2big = 7, enomem = 12 };
enum { sighup = 1, sigkill = 9, sigpipe = 13, sigchld = 17 };

enum {
  o_rdonly = 0, o_wronly = 1, o_rdwr = 2, o_creat = 0100, o_noctty = 0400, o_nonblock = 04000,
  o_directory = 0200000, o_cloexec = 02000000, o_path = 010000000
};

struct pollfd { int fd; u16 events, revents; };
enum { pollin = 1, pollout = 4, pollerr = 8, pollhup = 16, pollnval = 32 };

struct termios {
  u32 input, output, control, local;
  u8 line, characters[19];
};
enum { tcgets = 0x5401, tcsets = 0x5402, tcsbrk = 0x5409, tiocsctty = 0x540e, tiocswinsz = 0x5414, fionread = 0x541b,
  tiocgserial = 0x541e, tiocgptn = 0x80045430, tiocsptlck = 0x40045431, tiocgptpeer = 0x5441 };

struct winsize { u16 rows, columns, width, height; };

static inline void copy(void *to, const void *from, size length) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
}

static inline void clear(void *to, size length) {
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(0) : "memory");
}

static inline size length_of(const char *text) {
  size length = 0;
  while (text[length] != 0) length++;
  return length;
}

static inline int is_same(const char *a, const char *b, size length) {
  while (length-- > 0) {
    if (*a++ != *b++) return 0;
  }
  return 1;
}

static inline int begins_with(const char *text, const char *start) {
  while (*start != 0) {
    if (*text++ != *start++) return 0;
  }
  return 1;
}

static inline void close_fd(int *fd) {
  if (*fd >= 0) call(sys_close, *fd, 0, 0, 0);
  *fd = -1;
}

static inline void exit_with(int code) {
  for (;;) call(sys_exit, code, 0, 0, 0);
}

/* Decimal digits at the start of the text; its end goes to `rest`. -1 if it has none. */
static inline int number_in(const char *text, const char **rest) {
  int value = 0;
  if (*text < '0' || *text > '9') return -1;
  while (*text >= '0' && *text <= '9' && value < 100000000) value = value * 10 + (*text++ - '0');
  *rest = text;
  return value;
}

#endif
