/* A program that runs for the host. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include "guest.h"

/* The most characters that end the input of a terminal */
#define max_ends 2

struct program {
  u32 id; /* 0: free */
  u8 flags, is_running, has_ended, code, signal, signals_sent, input_is_closed, is_in_line, ends;
  int input, output[2], commands, report;
  struct spec *spec;
  u32 spec_length, spec_received;
  u8 *bytes; /* input that the program has not read */
  u32 bytes_start, bytes_count;
  u32 credit[2];
  u32 left[2]; /* once the program has ended: what it wrote before, and was not sent */
};

/* connect.c */
int connect(struct program *program, struct kept *kept);
void set_size(int terminal, u16 columns, u16 rows);

#endif
