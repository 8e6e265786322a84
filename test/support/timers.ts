/** How many timers keep this process alive. */
export const activeTimers = (): number => process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length
