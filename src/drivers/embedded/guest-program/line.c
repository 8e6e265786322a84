/* The serial port: frames of COBS, each ended by a zero byte, with a checksum. */
#include "guest.h"

#define head 5
#define tail 4
#define max_frame (head + max_data + tail)
#define max_encoded (max_frame + max_frame / 254 + 2)

int line = -1;

/* The port's number, if its device takes bytes as fast as they are written: then they need not pass the kernel. */
static u16 port;
static u32 session;
static u32 bytes_read, bytes_told;
static u8 incoming[max_encoded];
static size incoming_length;

static u32 checksum(const u8 *bytes, size length) {
  u32 a = 1, b = 0;
  while (length-- > 0) {
    a += *bytes++;
    b += a;
  }
  return b << 16 | (a & 0xffff);
}

/*
 * Before, the line is a terminal: a byte that came since it was opened may have stopped its output, and an echo may wait for that to go
 * on. So nothing here waits for the output. What came is no loss: the host asks again.
 */
static void set_raw(void) {
  struct termios settings;
  clear(&settings, sizeof settings);
  settings.control = 0010002 | 0000060 | 0000200 | 0004000; /* 115200 baud, 8 bits, CREAD, CLOCAL */
  settings.characters[6] = 1;                               /* VMIN */
  call(sys_ioctl, line, tcsets, &settings, 0);
}

/* Opens the second serial port, by a device file of its own: there may be no /dev yet. */
static void open_port(void) {
  static const char path[] = "/.awaitvm-line";
  call(sys_unlink, path, 0, 0, 0);
  if (call(sys_mknod, path, 0020600, 4 << 8 | 65, 0) == 0) {
    line = call(sys_open, path, o_rdwr | o_noctty | o_nonblock | o_cloexec, 0, 0);
    call(sys_unlink, path, 0, 0, 0);
  }
  if (line < 0) line = call(sys_open, "/dev/ttyS1", o_rdwr | o_noctty | o_nonblock | o_cloexec, 0, 0);
  if (line < 0) return;
  set_raw();
  call(sys_fcntl, line, 4 /* F_SETFL */, o_rdwr, 0);
}

/* Opens the line, unless it was given one that is open. */
int open_line(void) {
  if (line < 0) open_port();
  if (line < 0) return line;
  send_number(to_hello, 0, 1);
  return 0;
}

static void transmit(const u8 *bytes, size length) {
  if (port != 0) {
    __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(length) : "d"(port) : "memory");
    return;
  }
  while (length > 0) {
    int written = call(sys_write, line, bytes, length, 0);
    if (written == -eintr) continue;
    if (written <= 0) exit_with(1);
    bytes += written;
    length -= written;
  }
}

static size encode(const u8 *frame, size length, u8 *encoded) {
  size at = 1, mark = 0;
  u8 code = 1;
  for (size i = 0; i < length; i++) {
    if (frame[i] != 0) {
      encoded[at++] = frame[i];
      if (++code != 0xff) continue;
    }
    encoded[mark] = code;
    mark = at++;
    code = 1;
  }
  encoded[mark] = code;
  encoded[at++] = 0;
  return at;
}

void send(u8 type, u32 id, const void *data, size length) {
  static u8 frame[max_frame], encoded[max_encoded + 1];
  frame[0] = type;
  copy(frame + 1, &id, 4);
  copy(frame + head, data, length);
  u32 sum = checksum(frame, head + length);
  copy(frame + head + length, &sum, tail);
  transmit(encoded, encode(frame, head + length + tail, encoded));
}

void send_number(u8 type, u32 id, u32 value) {
  send(type, id, &value, 4);
}

/* The length of the frame, decoded in its place; 0 if it is not a frame. */
static size decode(u8 *bytes, size length) {
  size from = 0, to = 0;
  while (from < length) {
    size code = bytes[from++];
    if (from + code - 1 > length) return 0;
    for (size i = 1; i < code; i++) bytes[to++] = bytes[from++];
    if (code < 0xff && from < length) bytes[to++] = 0;
  }
  if (to < head + tail || to > max_frame) return 0;
  u32 sum;
  copy(&sum, bytes + to - tail, tail);
  return sum == checksum(bytes, to - tail) ? to : 0;
}

/* A port that takes all bytes at once is one of an emulator's: the host tells. */
static void use_port(void) {
  u32 serial[32];
  if (port != 0 || call(sys_ioctl, line, tiocgserial, serial, 0) != 0) return;
  u32 number = serial[2];
  if (number == 0 || number >= 0x10000 || call(sys_ioperm, number, 1, 1, 0) != 0) return;
  /* What the kernel has to write must not come between. */
  call(sys_ioctl, line, tcsbrk, 1, 0);
  port = number;
}

static void hello(u32 id, u8 is_fast) {
  if (is_fast) use_port();
  if (id != session) {
    session = id;
    bytes_read = bytes_told = 0;
    begin_session(id);
  }
  send_number(to_hello, id, 1);
}

/* Nothing is taken from now on but the begin of a session. */
void line_was_broken(void) {
  if (session == 0) return;
  send_number(to_broken, session, 0);
  session = 0;
  begin_session(0);
}

static void take_frame(void) {
  u32 id;
  size length = incoming_length > max_encoded ? 0 : decode(incoming, incoming_length);
  /* Before a session there may be noise. */
  if (length == 0) return line_was_broken();
  copy(&id, incoming + 1, 4);
  if (incoming[0] == from_hello) {
    hello(id, incoming[head]);
  } else if (session != 0) {
    bytes_read += length;
    received(incoming[0], id, incoming + head, length - head - tail);
  }
}

void read_line(void) {
  static u8 bytes[4096];
  int length = call(sys_read, line, bytes, sizeof bytes, 0);
  if (length == -eintr || length == -eagain) return;
  if (length <= 0) exit_with(1);
  for (int i = 0; i < length; i++) {
    if (bytes[i] == 0) {
      if (incoming_length > 0) take_frame();
      incoming_length = 0;
    } else if (incoming_length < max_encoded) {
      incoming[incoming_length++] = bytes[i];
    } else {
      incoming_length = max_encoded + 1;
    }
  }
  if (session != 0 && bytes_read - bytes_told >= 4096) {
    bytes_told = bytes_read;
    send(to_line, bytes_read, NULL, 0);
  }
}
