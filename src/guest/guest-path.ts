/** The path for a script, which must not take one that begins with a dash for an option. */
export const guestPath = (path: string): string => (path.startsWith('/') ? path : `./${path}`)
