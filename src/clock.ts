/*
 * Spans and deadlines are measured with `performance.now()`: setting the system's clock does not change them. These two are for
 * what `performance.now()` can't tell.
 */

/** Milliseconds since 1970 by the system's clock, which may be set at any time: for a date that is shown or compared with a file's. */
export const wallClockMs = (): number => Date.now()

/**
 * Milliseconds on the host's monotonic clock. Unlike `performance.now()`, all processes have the same zero until the host
 * boots again (CLOCK_MONOTONIC on Linux, mach_absolute_time on macOS), so that one can measure from what another has written.
 */
export const hostClockMs = (): number => Number(process.hrtime.bigint()) / 1e6
