/*
 * A process between the serving one and each program. All that the program starts becomes its child at the latest when
 * its own parent ends, so that none of it escapes: not even a process with a session of its own.
 */
#include "guest.h"

static void become_default(int signal) {
  struct { void *handler; u32 flags; void *restorer; u32 mask[2]; } action;
  clear(&action, sizeof action);
  call(sys_rt_sigaction, signal, &action, 0, 8);
}

static void tell(struct kept *kept, u8 kind, u8 a, u8 b, u32 number) {
  struct report report = {kind, a, b, 0, number};
  call(sys_write, kept->report, &report, sizeof report, 0);
}

static void start(struct kept *kept, int failures) {
  static const u32 no_signals[2];
  struct { u8 stage; int error; } failure = {0, 0};
  call(sys_setsid, 0, 0, 0, 0);
  if (kept->is_pty) call(sys_ioctl, kept->program_input, tiocsctty, 0, 0);
  call(sys_dup2, kept->program_input, 0, 0, 0);
  call(sys_dup2, kept->program_output[0], 1, 0, 0);
  call(sys_dup2, kept->program_output[1], 2, 0, 0);
  become_default(sigpipe);
  call(sys_rt_sigprocmask, 2 /* SIG_SETMASK */, no_signals, 0, 8);
  call(sys_umask, 0022, 0, 0, 0);
  failure.stage = run_program(kept->spec, &failure.error);
  call(sys_write, failures, &failure, sizeof failure, 0);
  exit_with(127);
}

/* Its process id, or 0 after a failure, which was told. */
static int started(struct kept *kept) {
  struct { u8 stage; int error; } failure;
  int pipe[2];
  int error = call(sys_pipe2, pipe, o_cloexec, 0, 0);
  int program = error < 0 ? error : call(sys_fork, 0, 0, 0, 0);
  if (program == 0) start(kept, pipe[1]);
  if (program < 0) {
    tell(kept, report_failed, stage_resources, 0, -program);
    return 0;
  }
  close_fd(&pipe[1]);
  int count = call(sys_read, pipe[0], &failure, sizeof failure, 0);
  close_fd(&pipe[0]);
  if (count == sizeof failure) {
    tell(kept, report_failed, failure.stage, 0, -failure.error);
    return 0;
  }
  tell(kept, report_started, 0, 0, 0);
  return program;
}

static void tell_end(struct kept *kept, int status) {
  tell(kept, report_ended, status >> 8, status & 0x7f, 0);
}

/* Ends the program and all that it started. */
static void end_all(struct kept *kept, int program) {
  int status, pid, last = 0;
  do {
    kill_children();
    pid = call(sys_wait4, -1, &status, 0, 0);
    if (pid == program) last = status;
  } while (pid > 0 || pid == -eintr);
  tell_end(kept, last);
}

/* Reads what nobody wants, so that a process that was left behind is not held up. */
static void discard(int *output) {
  static u8 bytes[4096];
  int count = call(sys_read, *output, bytes, sizeof bytes, 0);
  if (count <= 0 && count != -eagain && count != -eintr) close_fd(output);
}

/* What the serving process wants. 1 if the program, and all that it started, was ended. */
static int obey(struct kept *kept, int program) {
  u8 command;
  int count = call(sys_read, kept->commands, &command, 1, 0);
  if (count == -eintr) return 0;
  if (count == 1 && command < command_end) {
    int error = program == 0 ? -1 : call(sys_kill, -program, command, 0, 0);
    tell(kept, report_signalled, error == 0, 0, 0);
    return 0;
  }
  /* Its other end is closed if the program was told to have ended, or if the serving process itself ended. */
  if (count != 1) close_fd(&kept->commands);
  if (program == 0) return 0;
  end_all(kept, program);
  return 1;
}

void keep(struct kept *kept) {
  static const u32 child_signal[2] = {1 << (sigchld - 1), 0};
  static u8 signals[128];
  call(sys_prctl, 36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0);
  become_default(sigchld);
  call(sys_rt_sigprocmask, 0 /* SIG_BLOCK */, child_signal, 0, 8);
  int children = call(sys_signalfd4, -1, child_signal, 8, o_cloexec | o_nonblock);
  int program = started(kept), status, pid;
  if (program == 0) exit_with(0);
  close_fd(&kept->program_input);
  close_fd(&kept->program_output[0]);
  close_fd(&kept->program_output[1]);
  while (program != 0 || kept->commands >= 0 || kept->output[0] >= 0 || kept->output[1] >= 0) {
    int is_alone = kept->commands < 0;
    struct pollfd polled[4] = {
      {children, pollin, 0},
      {kept->commands, pollin, 0},
      {is_alone ? kept->output[0] : -1, pollin, 0},
      {is_alone ? kept->output[1] : -1, pollin, 0},
    };
    call(sys_poll, polled, 4, -1, 0);
    if (polled[2].revents) discard(&kept->output[0]);
    if (polled[3].revents) discard(&kept->output[1]);
    if (polled[0].revents) {
      call(sys_read, children, signals, sizeof signals, 0);
      while ((pid = call(sys_wait4, -1, &status, 1 /* WNOHANG */, 0)) > 0) {
        if (pid != program) continue;
        program = 0;
        tell_end(kept, status);
      }
    }
    if (polled[1].revents && obey(kept, program)) program = 0;
  }
  exit_with(0);
}
