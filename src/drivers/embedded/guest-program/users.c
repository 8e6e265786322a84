/* Users and groups, as /etc/passwd and /etc/group name them. */
#include "guest.h"

struct reader { int fd; size at, length; u8 bytes[1024]; };

/* The next line without its end, cut to the room; -1 at the end of the file. */
static int next_line(struct reader *reader, char *text, size room) {
  size length = 0;
  for (;;) {
    if (reader->at == reader->length) {
      int count = call(sys_read, reader->fd, reader->bytes, sizeof reader->bytes, 0);
      if (count <= 0) {
        text[length] = 0;
        return length > 0 ? (int)length : -1;
      }
      reader->length = count;
      reader->at = 0;
    }
    u8 byte = reader->bytes[reader->at++];
    if (byte == '\n') {
      text[length] = 0;
      return length;
    }
    if (length + 1 < room) text[length++] = byte;
  }
}

/* Cuts the line at its colons. */
static int fields_of(char *text, char **fields, int most) {
  int count = 0;
  fields[count++] = text;
  for (; *text != 0 && count < most; text++) {
    if (*text != ':') continue;
    *text = 0;
    fields[count++] = text + 1;
  }
  return count;
}

static int is_text(const char *a, const char *b) {
  size length = length_of(a);
  return length == length_of(b) && is_same(a, b, length);
}

static int lists(const char *names, const char *name) {
  size length = length_of(name);
  while (*names != 0) {
    if (is_same(names, name, length) && (names[length] == ',' || names[length] == 0)) return 1;
    while (*names != 0 && *names != ',') names++;
    if (*names == ',') names++;
  }
  return 0;
}

static void find_groups(struct user *user) {
  static struct reader reader;
  static char text[65536];
  const char *rest;
  char *field[4];
  user->groups[user->group_count++] = user->group;
  reader.at = reader.length = 0;
  reader.fd = call(sys_open, "/etc/group", o_rdonly | o_cloexec, 0, 0);
  if (reader.fd < 0) return;
  while (next_line(&reader, text, sizeof text) >= 0 && user->group_count < 64) {
    if (fields_of(text, field, 4) < 4 || !lists(field[3], user->name)) continue;
    int id = number_in(field[2], &rest);
    if (id >= 0 && (u32)id != user->group) user->groups[user->group_count++] = id;
  }
  close_fd(&reader.fd);
}

/* A user by name or number. 0 if there is none; root is always there, and a number that no name has, too. */
int find_user(const char *name, struct user *user) {
  static struct reader reader;
  static char text[4096];
  const char *rest = name;
  char *field[7];
  int number = number_in(name, &rest);
  if (*rest != 0) number = -1;
  int is_root = number == 0 || is_text(name, "root");
  clear(user, sizeof *user);
  reader.at = reader.length = 0;
  reader.fd = call(sys_open, "/etc/passwd", o_rdonly | o_cloexec, 0, 0);
  while (reader.fd >= 0 && next_line(&reader, text, sizeof text) >= 0) {
    if (fields_of(text, field, 7) < 7) continue;
    int id = number_in(field[2], &rest), group = number_in(field[3], &rest);
    if (id < 0 || group < 0 || !(is_text(field[0], name) || id == number)) continue;
    close_fd(&reader.fd);
    user->id = id;
    user->group = group;
    user->name = field[0];
    user->home = *field[5] != 0 ? field[5] : "/";
    user->shell = *field[6] != 0 ? field[6] : "/bin/sh";
    find_groups(user);
    return 1;
  }
  close_fd(&reader.fd);
  if (!is_root && number < 0) return 0;
  user->id = user->group = is_root ? 0 : number;
  user->name = is_root ? "root" : name;
  user->home = "/";
  user->shell = "/bin/sh";
  user->groups[user->group_count++] = user->group;
  return 1;
}
