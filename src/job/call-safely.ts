/** A listener that throws must break neither the job nor its other listeners: it fails as an uncaught exception. */
export function callSafely(listener: () => void): void {
  try {
    listener()
  } catch (error) {
    process.nextTick(() => {
      throw error
    })
  }
}
