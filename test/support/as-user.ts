/** An unprivileged user that owns no files. */
export const otherUser = 54_321

/** Runs an action with the rights of another user. */
export async function asUser<T>(uid: number, action: () => Promise<T>): Promise<T> {
  process.seteuid?.(uid)
  try {
    return await action()
  } finally {
    process.seteuid?.(0)
  }
}
