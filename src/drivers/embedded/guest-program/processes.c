/* Finds processes, and what the system's first process sees. */
#include "guest.h"

/* A procfs, mounted nowhere: the program is there before /proc, and outlives a change of the root. */
int processes = -1;

void open_processes(void) {
  int context = call(sys_fsopen, "proc", 1 /* close on exec */, 0, 0);
  if (context >= 0) {
    if (call5(sys_fsconfig, context, 6 /* create */, 0, 0, 0) == 0) {
      processes = call(sys_fsmount, context, 1 /* close on exec */, 0, 0);
    }
    close_fd(&context);
  }
  /* Before Linux 5.2 */
  if (processes < 0) processes = call(sys_open, "/proc", o_rdonly | o_directory | o_cloexec, 0, 0);
}

/* Whether this began in an initramfs, which the system's first process may have left for another root since. */
int is_beside_init = 0;

/* Opens a file, by its path without the slash at its begin, as the system has it. */
int open_in_system(const char *path, int flags) {
  if (!is_beside_init) {
    int root = call(sys_open, "/", o_path | o_directory | o_cloexec, 0, 0);
    int file = call(sys_openat, root, path, flags | o_cloexec, 0);
    close_fd(&root);
    return file;
  }
  static char full[64] = "1/root/";
  copy(full + 7, path, length_of(path) + 1);
  return call(sys_openat, processes, full, flags | o_cloexec, 0);
}

int enter_system(void) {
  if (!is_beside_init) return 0;
  int root = open_in_system("", o_path | o_directory);
  if (root < 0) return root;
  int error = call(sys_fchdir, root, 0, 0, 0);
  close_fd(&root);
  return error < 0 ? error : call(sys_chroot, ".", 0, 0, 0);
}

/* The parent of a process, from its stat; -1 if it has gone. */
static int parent_of(const char *pid) {
  static char path[32], text[512];
  size length = length_of(pid);
  copy(path, pid, length);
  copy(path + length, "/stat", 6);
  int file = call(sys_openat, processes, path, o_rdonly | o_cloexec, 0);
  if (file < 0) return -1;
  int count = call(sys_read, file, text, sizeof text - 1, 0);
  close_fd(&file);
  if (count <= 0) return -1;
  text[count] = 0;
  /* "pid (name) state parent": the name may have parentheses, too. */
  const char *rest = text + count;
  while (rest > text && *rest != ')') rest--;
  return rest + 4 < text + count ? number_in(rest + 4, &rest) : -1;
}

struct entry { u32 inode[2], offset[2]; u16 length; u8 type; char name[]; };

void kill_children(void) {
  static u8 entries[4096] __attribute__((aligned(8)));
  int self = call(sys_getpid, 0, 0, 0, 0);
  int folder = call(sys_openat, processes, ".", o_rdonly | o_directory | o_cloexec, 0);
  for (;;) {
    int count = call(sys_getdents64, folder, entries, sizeof entries, 0);
    if (count <= 0) break;
    for (int at = 0; at < count;) {
      struct entry *entry = (struct entry *)(entries + at);
      const char *rest;
      int pid = number_in(entry->name, &rest);
      if (pid > 0 && parent_of(entry->name) == self) call(sys_kill, pid, sigkill, 0, 0);
      at += entry->length;
    }
  }
  close_fd(&folder);
}
