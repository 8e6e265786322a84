import { InvalidArgumentError, NotSupportedError, PermissionDeniedError } from '../errors.js'

/** Error for a program that the guest does not have, or that can't be executed. */
export const noProgram = (name: string, cause?: unknown): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'command[0]',
    reason: `the guest has no program ${JSON.stringify(name)}`,
    hint: 'Name one that is there and can be executed, by its path or as the PATH of the guest finds it.',
    cause,
  })

/** Error for a folder to run a program in that is not there, or can't be entered. */
export const noFolder = (cwd: string, cause?: unknown): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'options.cwd',
    reason: `the guest has no folder ${JSON.stringify(cwd)} to run a program in`,
    cause,
  })

/** Error for a user whom the guest does not know. */
export const noUser = (user: string, cause?: unknown): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'options.user',
    reason: `the guest has no user ${JSON.stringify(user)}`,
    cause,
  })

/** Error for a way into a guest that may not run programs as another user. */
export const otherUser = (user: string, cause?: unknown): PermissionDeniedError =>
  new PermissionDeniedError({
    reason: `the guest lets only root run a program as ${JSON.stringify(user)}`,
    hint: 'Reach the guest as that user, or as root.',
    cause,
  })

/** Error for an option of a program that the way into a guest can't honour. */
export const refusedOption = (option: 'pty' | 'detached', reason: string, hint: string): NotSupportedError =>
  new NotSupportedError({ capability: `options.${option}`, path: `options.${option}`, reason, hint })

/** Error for a program that is to outlive its connection, on a host that keeps none. */
export const notKept = (): NotSupportedError =>
  refusedOption(
    'detached',
    'a program of this host ends with the connection that runs it',
    'Leave it out, and keep the connection open; or start the program as a service of the guest.',
  )

/** Throws for a name that an environment variable can't have. */
export function requireVariableNames(env: Readonly<Record<string, string>>): void {
  const wrong = Object.keys(env).find((name) => !/^[^=-][^=]*$/.test(name))
  if (wrong === undefined) return
  throw new InvalidArgumentError({
    path: `options.env.${wrong}`,
    reason: `options.env has the name ${JSON.stringify(wrong)}, which is not a name for a variable`,
  })
}
