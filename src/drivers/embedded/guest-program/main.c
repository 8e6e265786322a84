/*
 * awaitvm-guest [FILE DESCRIPTOR]
 *
 * The guest program of awaitvm: starts programs for the host, which asks through the second serial port. As the first
 * process of an initramfs it starts itself beside the system's own init, which it then becomes. With an argument it
 * serves on a file that is open, to its end: for tests.
 */
#include "guest.h"

static const char own_path[] = "/awaitvm-guest";
/* A link to the init of the initramfs */
static const char init_link[] = "/awaitvm-init";

void *map_memory(size length) {
  /* PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS */
  u32 arguments[6] = {0, length, 3, 0x22, 0xffffffff, 0};
  u32 address = call(sys_mmap, arguments, 0, 0, 0);
  return address > 0xfffff000 ? NULL : (void *)address;
}

static void sleep_second(void) {
  static const u32 second[2] = {1, 0};
  call(sys_nanosleep, second, 0, 0, 0);
}

static void ignore(int signal) {
  static const struct { u32 handler, flags, restorer, mask[2]; } action = {1 /* SIG_IGN */, 0, 0, {0, 0}};
  call(sys_rt_sigaction, signal, &action, 0, 8);
}

static void serve(void) {
  static struct pollfd polled[max_polled];
  static int unused[4];
  /* No file of ours may have the number of a standard stream. */
  call(sys_pipe2, unused, o_cloexec, 0, 0);
  call(sys_pipe2, unused + 2, o_cloexec, 0, 0);
  /* Keepers need not be waited for. */
  ignore(sigchld);
  ignore(sigpipe);
  call(sys_prctl, 36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0);
  open_processes();
  begin_programs();
  if (open_line() < 0) {
    sleep_second();
    exit_with(1);
  }
  for (;;) {
    size count = watched(polled);
    int ready = call(sys_poll, polled, count, -1, 0);
    if (ready <= 0) continue;
    if (polled[0].revents) read_line();
    served(polled, count);
  }
}

/* Serves in a process of its own, and in another one if that ends. */
static void serve_always(void) {
  for (;;) {
    int status, child = call(sys_fork, 0, 0, 0, 0);
    if (child == 0) serve();
    while (child > 0 && call(sys_wait4, child, &status, 0, 0) == -eintr) continue;
    sleep_second();
  }
}

static void become_init(char **arguments, char **environment) {
  static char path[4096];
  int length = call(sys_readlink, init_link, path, sizeof path - 1, 0);
  call(sys_unlink, init_link, 0, 0, 0);
  call(sys_unlink, own_path, 0, 0, 0);
  path[length > 0 ? length : 0] = 0;
  arguments[0] = path;
  call(sys_execve, path, arguments, environment, 0);
  static const char failed[] = "awaitvm: the initrd has no such init\n";
  call(sys_write, 2, failed, sizeof failed - 1, 0);
  exit_with(1);
}

__attribute__((used)) void begin(u32 *stack) {
  char **arguments = (char **)(stack + 1), **environment = arguments + stack[0] + 1;
  int is_first = call(sys_getpid, 0, 0, 0, 0) == 1;
  if (is_first && call(sys_fork, 0, 0, 0, 0) != 0) become_init(arguments, environment);
  if (is_first) {
    is_beside_init = 1;
    call(sys_setsid, 0, 0, 0, 0);
    for (int fd = 0; fd < 3; fd++) call(sys_close, fd, 0, 0, 0);
  }
  const char *rest;
  if (!is_first && stack[0] > 1) {
    line = number_in(arguments[1], &rest);
    serve();
  }
  /* systemd spares processes with such a name when it ends those of an initramfs. */
  if (stack[0] > 0) arguments[0][0] = '@';
  serve_always();
}

__asm__(".globl _start\n_start:\n  xorl %ebp, %ebp\n  pushl %esp\n  call begin\n");
