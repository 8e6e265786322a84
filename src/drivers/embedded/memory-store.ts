import { filesOf, type Definition } from './definition.js'
import type { DiskOverlaySpec } from './machine/protocol.js'
import { nameIsId, nameIsTaken } from '../../errors/lookup.js'
import { formatIdentity, ownIdentity } from '../../registry/process-identity.js'
import type { Lease, EmbeddedStore } from './embedded-store.js'

interface Kept {
  definition: Definition
  readonly files: Map<string, Uint8Array>
}

const noLease: Lease = { setState: () => undefined, release: () => undefined }

/** VMs that are gone when the connection is closed. */
export class MemoryStore implements EmbeddedStore {
  readonly owner = formatIdentity(ownIdentity(false))
  readonly vms = undefined
  readonly #vms = new Map<string, Kept>()
  /** Files of VMs that are being made. */
  readonly #pending = new Map<string, Map<string, Uint8Array>>()

  async list(): Promise<readonly Definition[]> {
    return [...this.#vms.values()].map(({ definition }) => definition)
  }

  async find(id: string): Promise<Definition | undefined> {
    return this.get(id)
  }

  async get(id: string): Promise<Definition | undefined> {
    return this.#vms.get(id)?.definition
  }

  async findByName(name: string): Promise<Definition | undefined> {
    return this.#named(name)
  }

  async create(definition: Definition, fill: () => Promise<void>): Promise<void> {
    const { id } = definition
    this.#assertNameIsFree(definition)
    const files = new Map<string, Uint8Array>()
    this.#pending.set(id, files)
    try {
      await fill()
      this.#assertNameIsFree(definition)
      this.#vms.set(id, { definition, files })
    } finally {
      this.#pending.delete(id)
    }
  }

  async save(definition: Definition): Promise<void> {
    this.#assertNameIsFree(definition)
    const kept = this.#kept(definition.id)
    kept.definition = definition
    const wanted = filesOf(definition)
    for (const file of kept.files.keys()) if (!wanted.has(file)) kept.files.delete(file)
  }

  async delete(id: string): Promise<void> {
    this.#vms.delete(id)
  }

  async deleteDamaged(): Promise<void> {
    throw new Error('Nothing in memory is damaged')
  }

  async lease(id: string): ReturnType<EmbeddedStore['lease']> {
    return { lease: noLease, definition: await this.get(id) }
  }

  async holder(): Promise<undefined> {
    return undefined
  }

  async replaced(): Promise<undefined> {
    return undefined
  }

  onRemoved(): void {
    // No other process reaches this memory.
  }

  async close(): Promise<void> {
    // The memory is freed with the connection.
  }

  requireFiles(): void {
    // VMs in memory have no files that could be missing.
  }

  async makeOverlay(): Promise<void> {
    // An overlay without content is not stored.
  }

  async overlay(id: string, file: string): Promise<DiskOverlaySpec> {
    return { kind: 'memory', content: this.#files(id).get(file) }
  }

  async putOverlay(id: string, file: string, content: Uint8Array): Promise<void> {
    this.#files(id).set(file, content)
  }

  async copyOverlay(from: { id: string; file: string }, to: { id: string; file: string }): Promise<void> {
    const content = this.#files(from.id).get(from.file)
    // Contents are replaced, never changed: the copy can share the bytes.
    if (content !== undefined) this.#files(to.id).set(to.file, content)
  }

  async putMemory(id: string, file: string, content: Uint8Array): Promise<void> {
    this.#files(id).set(file, content)
  }

  async getMemory(id: string, file: string): Promise<Uint8Array> {
    const content = this.#files(id).get(file)
    if (content === undefined) throw new Error(`The saved memory ${file} is not there`)
    return content
  }

  #named(name: string): Definition | undefined {
    for (const { definition } of this.#vms.values()) if (definition.name === name) return definition
    return undefined
  }

  #assertNameIsFree({ id, name }: Definition): void {
    const other = this.#named(name)
    if (other !== undefined && other.id !== id) throw nameIsTaken(name, other.id)
    // A lookup by the name would find that VM.
    if (name !== id && this.#vms.has(name)) throw nameIsId(name)
  }

  #kept(id: string): Kept {
    const kept = this.#vms.get(id)
    if (kept === undefined) throw new Error(`The VM ${id} is not kept`)
    return kept
  }

  #files(id: string): Map<string, Uint8Array> {
    return this.#pending.get(id) ?? this.#kept(id).files
  }
}
