/** The spelling of ids in awaitvm: without braces, in lower case. The host's varies from VM to VM. */
export const bareId = (id: string): string => id.replace(/^\{(.*)\}$/, '$1').toLowerCase()

/** An id as an argument, in braces: prlctl never takes it for the name of another VM, or for an option. */
export const argumentOf = (id: string): string => `{${id}}`

/** True for a valid id. Nothing else may be sent to the host as an id. */
export const isId = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)
