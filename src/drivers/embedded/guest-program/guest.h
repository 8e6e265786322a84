/* What the parts of the program share. */
#ifndef GUEST_H
#define GUEST_H

#include "system.h"

/* The most bytes of data in a frame. */
#define max_data 4096
/* What the program keeps of the input of each program that it runs; the host sends no more before it was told of room. */
#define input_room 16384
/* The most arguments and variables of a program, together with their text. */
#define max_spec 0x200000

/* Messages from the host. All have an id; numbers are little-endian. */
enum {
  from_hello = 1,   /* id: the session. Ends all programs of an earlier session. */
  from_spec = 2,    /* a part of a program's spec. The first begins with the length of all, in 4 bytes. */
  from_input = 3,   /* bytes for its standard input */
  from_input_end = 4,
  from_credit = 5,  /* u8: output 0 or 1; u32: how many more bytes of it the host takes */
  from_signal = 6,  /* u8: the signal, for the program's process group */
  from_end = 7,     /* end it, and all that it started */
  from_resize = 8   /* u16: columns; u16: rows */
};

/* Messages to the host. */
enum {
  to_hello = 1,     /* id: the session, or 0 after the program began; u32: version of the protocol */
  to_line = 2,      /* id: how many bytes of frames other than hello were read in this session */
  to_started = 3,
  to_failed = 4,    /* u8: stage; u32: error number. The program did not run. */
  to_output = 5,    /* u8: output 0 or 1; bytes */
  to_credit = 6,    /* u32: how many more bytes of input there is room for */
  to_signalled = 7, /* u8: 1 if the signal was sent, 0 if it was not */
  to_ended = 8,     /* u8: exit code; u8: signal, or 0 */
  to_broken = 9     /* the line had a wrong frame: begin a session */
};

enum { stage_resources = 1, stage_user = 2, stage_folder = 3, stage_program = 4, stage_privilege = 5,
  stage_keeper = 6 };

enum { flag_input = 1, flag_pty = 2 };

/* The head of a spec; then, each ended by a zero byte: user, working folder, arguments, variables of the environment. */
struct spec {
  u32 flags;
  u16 columns, rows;
  u32 arguments, variables;
  char text[];
};

/* line.c */
int open_line(void);
extern int line;
void send(u8 type, u32 id, const void *data, size length);
void send_number(u8 type, u32 id, u32 value);
/* Reads what has come, and gives each message to `received`. */
void read_line(void);
void received(u8 type, u32 id, const u8 *data, size length);
void begin_session(u32 session);
void line_was_broken(void);

/* programs.c */
size watched(struct pollfd *polled);
void served(const struct pollfd *polled, size count);
void begin_programs(void);
#define max_programs 256
#define max_polled (1 + 4 * max_programs)

/* keeper.c */
struct kept {
  int program_input;     /* becomes the program's standard input, output and error */
  int program_output[2];
  int output[2];         /* the other ends of its outputs */
  int commands;          /* from the serving process: a signal each, or the one below */
  int report;            /* to it: of 8 bytes each */
  const struct spec *spec;
  int is_pty;
};
enum { command_end = 0xff };
enum { report_started = 1, report_failed = 2, report_ended = 3, report_signalled = 4 };
struct report { u8 kind, a, b, c; u32 number; };
void keep(struct kept *kept);

/* main.c */
void *map_memory(size length);

/* start.c: in the new process. Returns a stage if it fails, with the error in `error`. */
int run_program(const struct spec *spec, int *error);

/* users.c */
struct user { u32 id, group; u32 groups[64]; int group_count; const char *name, *home, *shell; };
int find_user(const char *name, struct user *user);

/* processes.c */
extern int processes;
void open_processes(void);
extern int is_beside_init;
int open_in_system(const char *path, int flags);
int enter_system(void);
void kill_children(void);

#endif
