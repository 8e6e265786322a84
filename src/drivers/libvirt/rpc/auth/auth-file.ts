import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { errorCode } from '../../../../errors/native.js'
import { InvalidArgumentError } from '../../../../errors.js'
import type { Credentials } from './sasl.js'

/** Files of credentials are short. */
const maxCharacters = 2 ** 20

/**
 * The credentials for a host in libvirt's file for them, `auth.conf`: the one that is named, that of `LIBVIRT_AUTH_FILE`, the user's, or the
 * machine's. The first that is there counts.
 */
export async function credentialsFor(host: string, named: string | undefined): Promise<Credentials | undefined> {
  const chosen = named ?? process.env['LIBVIRT_AUTH_FILE']
  const config = process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config')
  const paths = chosen === undefined ? [join(config, 'libvirt', 'auth.conf'), '/etc/libvirt/auth.conf'] : [chosen]
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      if (errorCode(cause) === 'ENOENT' && chosen === undefined) return undefined
      throw new InvalidArgumentError({ path: 'uri', reason: `the file of credentials ${path} can't be read`, cause })
    })
    if (text !== undefined) return credentialsIn(text.slice(0, maxCharacters), host)
  }
  return undefined
}

/** `[auth-libvirt-HOST]` names a group of `[credentials-NAME]`; `[auth-libvirt-default]` is for other hosts. */
function credentialsIn(text: string, host: string): Credentials | undefined {
  const groups = groupsOf(text)
  const auth = groups.get(`auth-libvirt-${host}`) ?? groups.get('auth-libvirt-default')
  const group = groups.get(`credentials-${auth?.get('credentials') ?? ''}`)
  const user = group?.get('authname') ?? group?.get('username')
  const password = group?.get('password')
  return user === undefined || password === undefined ? undefined : { user, password }
}

function groupsOf(text: string): Map<string, Map<string, string>> {
  const groups = new Map<string, Map<string, string>>()
  let current: Map<string, string> | undefined
  for (const line of text.split(/\r?\n/)) {
    const title = /^\s*\[(.*)\]\s*$/.exec(line)?.[1]
    const [, name, value] = /^\s*([^#=\s]+)\s*=\s*(.*)$/.exec(line) ?? []
    if (title !== undefined) {
      current = new Map()
      groups.set(title, current)
    } else if (name !== undefined && value !== undefined) current?.set(name, value)
  }
  return groups
}
