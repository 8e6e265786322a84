/* The pipes or the terminal between the serving process, a keeper and its program. */
#include "programs.h"

/* A pipe of which the end with this index is ours. */
static int pipe_of(int pipe[2], int ours) {
  int error = call(sys_pipe2, pipe, o_cloexec, 0, 0);
  if (error == 0) call(sys_fcntl, pipe[ours], 4 /* F_SETFL */, o_nonblock, 0);
  return error;
}

/* A terminal of the system, or, if it has none, of a devpts that is mounted nowhere. */
static int open_terminal(void) {
  int terminal = open_in_system("dev/ptmx", o_rdwr | o_noctty | o_nonblock);
  if (terminal >= 0) return terminal;
  int context = call(sys_fsopen, "devpts", 1, 0, 0);
  if (context < 0) return context;
  int mount = call5(sys_fsconfig, context, 6 /* create */, 0, 0, 0);
  if (mount == 0) mount = call(sys_fsmount, context, 1, 0, 0);
  if (mount >= 0) terminal = call(sys_openat, mount, "ptmx", o_rdwr | o_noctty | o_nonblock | o_cloexec, 0);
  else terminal = mount;
  close_fd(&mount);
  close_fd(&context);
  return terminal;
}

void set_size(int terminal, u16 columns, u16 rows) {
  struct winsize size = {rows, columns, 0, 0};
  call(sys_ioctl, terminal, tiocswinsz, &size, 0);
}

static int connect_terminal(struct program *program, struct kept *kept) {
  int unlocked = 0, other = -1;
  int terminal = open_terminal();
  if (terminal < 0) return terminal;
  program->output[0] = terminal;
  call(sys_ioctl, terminal, tiocsptlck, &unlocked, 0);
  other = call(sys_ioctl, terminal, tiocgptpeer, o_rdwr | o_noctty | o_cloexec, 0);
  if (other < 0) return other;
  set_size(terminal, program->spec->columns, program->spec->rows);
  program->input = call(sys_fcntl, terminal, 1030 /* F_DUPFD_CLOEXEC */, 3, 0);
  kept->program_input = kept->program_output[0] = kept->program_output[1] = other;
  return program->input < 0 ? program->input : 0;
}

static int connect_pipes(struct program *program, struct kept *kept) {
  int pipe[2];
  for (int i = 0; i < 2; i++) {
    int error = pipe_of(pipe, 0);
    if (error < 0) return error;
    program->output[i] = pipe[0];
    kept->program_output[i] = pipe[1];
  }
  if (!(program->flags & flag_input)) {
    kept->program_input = open_in_system("dev/null", o_rdonly);
    if (kept->program_input >= 0) return 0;
  }
  int error = pipe_of(pipe, 1);
  if (error < 0) return error;
  kept->program_input = pipe[0];
  program->input = pipe[1];
  /* Without a /dev/null, an empty pipe is as good. */
  if (!(program->flags & flag_input)) close_fd(&program->input);
  return 0;
}

int connect(struct program *program, struct kept *kept) {
  int pipe[2];
  int error = pipe_of(pipe, 1);
  if (error < 0) return error;
  kept->commands = pipe[0];
  program->commands = pipe[1];
  error = pipe_of(pipe, 0);
  if (error < 0) return error;
  program->report = pipe[0];
  kept->report = pipe[1];
  return program->flags & flag_pty ? connect_terminal(program, kept) : connect_pipes(program, kept);
}
