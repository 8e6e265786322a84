/** One spelling of ids for comparisons: without braces, in lower case. The host's varies from VM to VM. */
export const bareId = (id: string): string => id.replace(/^\{(.*)\}$/, '$1').toLowerCase()

/** As an argument: in braces, so that it is never taken for the name of another VM, nor for an option. */
export const argumentOf = (id: string): string => `{${id}}`

/** Whether it may be an id of the host; anything else must not reach it as one. */
export const isId = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
