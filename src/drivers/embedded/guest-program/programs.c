/* The programs that run for the host, and their input and output. */
#include "programs.h"

static struct program programs[max_programs];
/* What each polled file is; the first is the line. */
static struct { struct program *program; u8 what; } watches[max_polled];
enum { watch_report, watch_input, watch_output };
static u32 file_limit[2];

static void reset(struct program *program) {
  clear(program, sizeof *program);
  program->input = program->output[0] = program->output[1] = program->commands = program->report = -1;
}

void begin_programs(void) {
  static u32 wanted[2] = {4096, 4096};
  for (int i = 0; i < max_programs; i++) reset(&programs[i]);
  call(sys_ugetrlimit, 7 /* RLIMIT_NOFILE */, file_limit, 0, 0);
  call(sys_setrlimit, 7, wanted, 0, 0);
}

static void close_program(struct program *program) {
  close_fd(&program->input);
  close_fd(&program->output[0]);
  close_fd(&program->output[1]);
  close_fd(&program->commands);
  close_fd(&program->report);
  if (program->spec != NULL) call(sys_munmap, program->spec, program->spec_length, 0, 0);
  if (program->bytes != NULL) call(sys_munmap, program->bytes, input_room + max_ends, 0, 0);
  reset(program);
}

static struct program *find(u32 id) {
  for (int i = 0; i < max_programs; i++) {
    if (programs[i].id == id) return &programs[i];
  }
  return NULL;
}

static void command(struct program *program, u8 what) {
  if (program->commands >= 0) call(sys_write, program->commands, &what, 1, 0);
}

void begin_session(u32 session) {
  (void)session;
  for (int i = 0; i < max_programs; i++) {
    struct program *program = &programs[i];
    if (program->id == 0) continue;
    command(program, command_end);
    close_program(program);
  }
}

static void fail(struct program *program, u8 stage, u32 error) {
  u8 data[5] = {stage};
  copy(data + 1, &error, 4);
  send(to_failed, program->id, data, 5);
  close_program(program);
}

/* In the keeper: what belongs to others must not be kept open. */
static void forget_others(struct program *mine, struct kept *kept) {
  kept->output[0] = mine->output[0];
  kept->output[1] = mine->output[1];
  kept->spec = mine->spec;
  mine->output[0] = mine->output[1] = -1;
  mine->spec = NULL;
  for (int i = 0; i < max_programs; i++) close_program(&programs[i]);
  close_fd(&line);
  call(sys_ioperm, 0, 0x10000, 0, 0);
  call(sys_setrlimit, 7, file_limit, 0, 0);
}

static void start_program(struct program *program) {
  struct kept kept = {-1, {-1, -1}, {-1, -1}, -1, -1, NULL, program->flags & flag_pty};
  int error = connect(program, &kept);
  int keeper = error < 0 ? error : call(sys_fork, 0, 0, 0, 0);
  if (keeper == 0) {
    forget_others(program, &kept);
    keep(&kept);
  }
  close_fd(&kept.commands);
  close_fd(&kept.report);
  close_fd(&kept.program_input);
  if (!kept.is_pty) {
    close_fd(&kept.program_output[0]);
    close_fd(&kept.program_output[1]);
  }
  call(sys_munmap, program->spec, program->spec_length, 0, 0);
  program->spec = NULL;
  if (keeper < 0) fail(program, stage_resources, -keeper);
  else program->is_running = 1;
}

/* Whether it has all the texts that it says, and ends with the last of them. */
static int is_valid(const struct spec *spec, u32 length) {
  u32 texts = 0, wanted = 2 + spec->arguments + spec->variables;
  if (spec->arguments == 0 || spec->arguments > length || spec->variables > length) return 0;
  for (const u8 *at = (const u8 *)spec->text; at < (const u8 *)spec + length; at++) texts += *at == 0;
  return texts == wanted && ((const u8 *)spec)[length - 1] == 0;
}

static void take_spec(u32 id, const u8 *data, size length) {
  struct program *program = find(id);
  if (program == NULL) {
    u32 total = 0;
    program = find(0);
    if (length >= 4) copy(&total, data, 4);
    if (program == NULL || total <= sizeof(struct spec) || total > max_spec) {
      struct program none = {.id = id, .input = -1, .output = {-1, -1}, .commands = -1, .report = -1};
      fail(&none, stage_resources, program == NULL ? eagain : e2big);
      return;
    }
    program->id = id;
    program->spec_length = total;
    program->spec = map_memory(total);
    program->bytes = map_memory(input_room + max_ends);
    if (program->spec == NULL || program->bytes == NULL) {
      fail(program, stage_resources, enomem);
      return;
    }
    data += 4;
    length -= 4;
  }
  if (program->spec == NULL || length > program->spec_length - program->spec_received) return line_was_broken();
  copy((u8 *)program->spec + program->spec_received, data, length);
  program->spec_received += length;
  if (program->spec_received < program->spec_length) return;
  if (!is_valid(program->spec, program->spec_length)) return fail(program, stage_resources, einval);
  program->flags = program->spec->flags;
  start_program(program);
}

/* Tells of room for input; the characters for the end of a terminal's input were not the host's. */
static void tell_room(struct program *program, u32 before) {
  u32 ends = program->ends;
  if (program->bytes_count < ends) program->ends = program->bytes_count;
  u32 room = before - program->bytes_count - (ends - program->ends);
  if (room > 0) send_number(to_credit, program->id, room);
}

/* Input for a program that reads no more is dropped. */
static void drop_input(struct program *program) {
  u32 before = program->bytes_count;
  program->bytes_count = program->bytes_start = 0;
  tell_room(program, before);
  close_fd(&program->input);
}

static void give_input(struct program *program) {
  u32 before = program->bytes_count;
  int written = 0;
  while (program->input >= 0 && program->bytes_count > 0) {
    written = call(sys_write, program->input, program->bytes + program->bytes_start, program->bytes_count, 0);
    if (written == -eintr) continue;
    if (written <= 0) break;
    program->bytes_start += written;
    program->bytes_count -= written;
    written = 0;
  }
  tell_room(program, before);
  if (written < 0 && written != -eagain) drop_input(program);
  if (program->bytes_count > 0) return;
  program->bytes_start = 0;
  if (program->input_is_closed) close_fd(&program->input);
}

static void add_input(struct program *program, const u8 *data, size length) {
  if (length > input_room + max_ends - program->bytes_count) return line_was_broken();
  if (program->bytes_start + program->bytes_count + length > input_room + max_ends) {
    copy(program->bytes, program->bytes + program->bytes_start, program->bytes_count);
    program->bytes_start = 0;
  }
  copy(program->bytes + program->bytes_start + program->bytes_count, data, length);
  program->bytes_count += length;
  if (program->input < 0) drop_input(program);
  else give_input(program);
}

/* A terminal has no end of input but the character for it, which must be at the begin of a line. */
static void end_input(struct program *program) {
  static const u8 ends[max_ends] = {4, 4};
  if (program->flags & flag_pty) {
    program->ends = program->is_in_line ? max_ends : 1;
    add_input(program, ends, program->ends);
  } else {
    program->input_is_closed = 1;
    give_input(program);
  }
}

static void tell_signalled(struct program *program, u8 was_sent) {
  program->signals_sent--;
  send(to_signalled, program->id, &was_sent, 1);
}

void received(u8 type, u32 id, const u8 *data, size length) {
  u32 number = 0;
  if (id == 0) return line_was_broken();
  if (type == from_spec) return take_spec(id, data, length);
  struct program *program = find(id);
  /* It may have ended before the host knew. */
  if (program == NULL || !program->is_running) {
    if (type == from_signal) send(to_signalled, id, &number, 1);
    return;
  }
  switch (type) {
    case from_input:
      if (length > 0) program->is_in_line = data[length - 1] != '\n';
      return add_input(program, data, length);
    case from_input_end:
      return end_input(program);
    case from_credit:
      if (length < 5) return line_was_broken();
      copy(&number, data + 1, 4);
      program->credit[data[0] & 1] += number;
      return;
    case from_signal:
      program->signals_sent++;
      if (program->has_ended) tell_signalled(program, 0);
      else command(program, data[0]);
      return;
    case from_end:
      if (!program->has_ended) command(program, command_end);
      return;
    case from_resize:
      if (length >= 4 && program->flags & flag_pty) set_size(program->output[0], data[0] | data[1] << 8, data[2] | data[3] << 8);
  }
}

static void take_report(struct program *program) {
  struct report report;
  int count = call(sys_read, program->report, &report, sizeof report, 0);
  if (count == -eintr || count == -eagain) return;
  if (count != sizeof report) {
    /* The keeper was killed. What it kept may run on, so its end is not known. */
    return fail(program, stage_keeper, 0);
  }
  switch (report.kind) {
    case report_started:
      return send(to_started, program->id, NULL, 0);
    case report_failed:
      return fail(program, report.a, report.number);
    case report_signalled:
      return tell_signalled(program, report.a);
    case report_ended:
      program->has_ended = 1;
      program->code = report.a;
      program->signal = report.b;
      close_fd(&program->report);
      close_fd(&program->input);
      while (program->signals_sent > 0) tell_signalled(program, 0);
      for (int i = 0; i < 2; i++) {
        program->left[i] = 0;
        if (program->output[i] < 0) continue;
        /* The system hangs a terminal up with its program; then it ends by itself. */
        if (program->flags & flag_pty) program->left[i] = 0xffffffff;
        else call(sys_ioctl, program->output[i], fionread, &program->left[i], 0);
      }
  }
}

static void take_output(struct program *program, int index) {
  static u8 data[max_data];
  u32 most = max_data - 1;
  if (most > program->credit[index]) most = program->credit[index];
  if (program->has_ended && most > program->left[index]) most = program->left[index];
  int count = most == 0 ? 0 : call(sys_read, program->output[index], data + 1, most, 0);
  if (count == -eintr || (count == -eagain && !program->has_ended)) return;
  if (count > 0) {
    data[0] = index;
    send(to_output, program->id, data, 1 + count);
    program->credit[index] -= count;
    program->left[index] -= count;
  }
  if (count <= 0 || (program->has_ended && program->left[index] == 0)) close_fd(&program->output[index]);
}

static void tell_end(struct program *program) {
  u8 data[2] = {program->code, program->signal};
  send(to_ended, program->id, data, 2);
  close_program(program);
}

static size watch(struct pollfd *polled, size count, struct program *program, u8 what, int fd, u16 events) {
  polled[count] = (struct pollfd){fd, events, 0};
  watches[count].program = program;
  watches[count].what = what;
  return count + 1;
}

static size watch_program(struct program *program, struct pollfd *polled, size count) {
  if (program->report >= 0) count = watch(polled, count, program, watch_report, program->report, pollin);
  if (program->input >= 0 && program->bytes_count > 0) {
    count = watch(polled, count, program, watch_input, program->input, pollout);
  }
  for (int i = 0; i < 2; i++) {
    if (program->output[i] < 0 || program->credit[i] == 0) continue;
    count = watch(polled, count, program, watch_output + i, program->output[i], pollin);
  }
  return count;
}

size watched(struct pollfd *polled) {
  size count = watch(polled, 0, NULL, 0, line, pollin);
  for (int i = 0; i < max_programs; i++) {
    struct program *program = &programs[i];
    if (program->id != 0 && program->is_running) count = watch_program(program, polled, count);
  }
  return count;
}

void served(const struct pollfd *polled, size count) {
  for (size i = 1; i < count; i++) {
    struct program *program = watches[i].program;
    if (polled[i].revents == 0 || !program->is_running) continue;
    if (watches[i].what == watch_report) take_report(program);
    else if (watches[i].what == watch_input) give_input(program);
    else if (program->output[watches[i].what - watch_output] >= 0) take_output(program, watches[i].what - watch_output);
  }
  for (int i = 0; i < max_programs; i++) {
    struct program *program = &programs[i];
    if (!program->has_ended) continue;
    /* Without this, one without output would have no event to end with. */
    for (int k = 0; k < 2; k++) {
      if (program->output[k] >= 0 && program->left[k] == 0) close_fd(&program->output[k]);
    }
    if (program->output[0] < 0 && program->output[1] < 0) tell_end(program);
  }
}
