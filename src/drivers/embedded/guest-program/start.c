/* In the new process: becomes the user, enters the folder, and executes the program. */
#include "guest.h"

#define max_base 8

static int is_variable(const char *variable, const char *name) {
  size length = length_of(name);
  return is_same(variable, name, length) && variable[length] == '=';
}

/* Adds NAME=VALUE unless the caller set it. */
static int add_default(char **environment, int count, int given, char *room, const char *name, const char *value) {
  for (int i = 0; i < given; i++) {
    if (is_variable(environment[i], name)) return count;
  }
  size name_length = length_of(name), value_length = length_of(value);
  copy(room, name, name_length);
  room[name_length] = '=';
  copy(room + name_length + 1, value, value_length + 1);
  environment[count] = room;
  return count + 1;
}

static int execute(const char *path, char **arguments, char **environment) {
  int error = call(sys_execve, path, arguments, environment, 0);
  if (error != -enoexec) return error;
  /* A script without an interpreter is one of the shell, as execvp has it. The slot before the arguments is free. */
  arguments[-1] = "/bin/sh";
  arguments[0] = (char *)path;
  error = call(sys_execve, "/bin/sh", arguments - 1, environment, 0);
  return error == -enoent ? -enoexec : error;
}

/* Looks for the program in the folders of PATH. */
static int execute_found(const char *folders, char **arguments, char **environment) {
  static char path[4096];
  char *name = arguments[0];
  size name_length = length_of(name);
  int worst = -enoent;
  for (const char *slash = name; *slash != 0; slash++) {
    if (*slash == '/') return execute(name, arguments, environment);
  }
  if (name_length == 0) return -enoent;
  while (*folders != 0) {
    size length = 0;
    while (folders[length] != 0 && folders[length] != ':') length++;
    if (length + name_length + 2 < sizeof path) {
      copy(path, folders, length);
      path[length] = '/';
      copy(path + length + (length > 0), name, name_length + 1);
      int error = execute(path, arguments, environment);
      if (error == -eacces) worst = error;
      else if (error != -enoent && error != -enotdir) return error;
    }
    folders += length + (folders[length] == ':');
  }
  return worst;
}

/* The texts of a spec, as pointers. */
static char *pointers_to(char **pointers, char *text, u32 count) {
  for (u32 i = 0; i < count; i++) {
    pointers[i] = text;
    text += length_of(text) + 1;
  }
  pointers[count] = NULL;
  return text;
}

static int become(const struct user *user) {
  int error = call(sys_setgroups, user->group_count, user->groups, 0, 0);
  if (error == 0) error = call(sys_setresgid, user->group, user->group, user->group, 0);
  if (error == 0) error = call(sys_setresuid, user->id, user->id, user->id, 0);
  return error;
}

int run_program(const struct spec *spec, int *error) {
  static struct user user;
  static char rooms[max_base][4200];
  char *text = (char *)spec->text;
  const char *name = text;
  const char *folder = name + length_of(name) + 1;
  char **arguments = (char **)map_memory((spec->arguments + spec->variables + 4 + max_base) * sizeof(char *));
  if (arguments == NULL) return stage_resources;
  arguments++;
  char **environment = arguments + spec->arguments + 1;
  text = pointers_to(arguments, (char *)folder + length_of(folder) + 1, spec->arguments);
  pointers_to(environment, text, spec->variables);

  *error = enter_system();
  if (*error < 0) return stage_resources;
  if (!find_user(*name != 0 ? name : "0", &user)) return stage_user;
  int given = spec->variables, count = given;
  count = add_default(environment, count, given, rooms[0], "PATH",
                      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  count = add_default(environment, count, given, rooms[1], "HOME", user.home);
  count = add_default(environment, count, given, rooms[2], "USER", user.name);
  count = add_default(environment, count, given, rooms[3], "LOGNAME", user.name);
  count = add_default(environment, count, given, rooms[4], "SHELL", user.shell);
  if (spec->flags & flag_pty) count = add_default(environment, count, given, rooms[5], "TERM", "xterm");
  environment[count] = NULL;

  *error = *name != 0 ? become(&user) : 0;
  if (*error < 0) return stage_privilege;
  *error = call(sys_chdir, *folder != 0 ? folder : user.home, 0, 0, 0);
  /* A home that is not there is no reason to fail. */
  if (*error < 0 && *folder != 0) return stage_folder;
  for (int i = 0; i < count; i++) {
    if (is_variable(environment[i], "PATH")) *error = execute_found(environment[i] + 5, arguments, environment);
  }
  return stage_program;
}
