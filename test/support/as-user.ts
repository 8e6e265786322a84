/** A user that owns nothing. */
export const otherUser = 54_321

/** Does something with the rights of another user. */
export async function asUser<T>(uid: number, action: () => Promise<T>): Promise<T> {
  process.seteuid?.(uid)
  try {
    return await action()
  } finally {
    process.seteuid?.(0)
  }
}
