import { execFileSync } from 'node:child_process'

/** Why no container can be made on this machine; undefined if one can. */
export function missingContainers(): string | undefined {
  try {
    execFileSync('unshare', container('probe').slice(1).concat('true'), { stdio: 'ignore' })
    return undefined
  } catch {
    return 'unshare may not make namespaces here'
  }
}

/** Runs a program under another host name. */
export const renamedHost = (name: string): string[] => ['unshare', '--uts', 'sh', '-c', script, name]

/** Runs a program as the first process of a container, whose processes all end with it. */
export const container = (name: string): string[] => [
  ...['unshare', '--uts', '--pid', '--mount-proc', '--fork', '--kill-child', 'sh', '-c'],
  ...[script, name],
]

/** As `container`, but with the /proc of the host, in which its process ids belong to other processes. */
export const containerWithoutProc = (name: string): string[] =>
  container(name).filter((word) => word !== '--mount-proc')

const script = 'hostname "$0"; exec "$@"'
