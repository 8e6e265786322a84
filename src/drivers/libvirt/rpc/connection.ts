import { randomInt } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { ConnectionError, ProtocolError, type VmError } from '../../../errors.js'
import { Deferred } from '../../../driver/deferred.js'
import { eventMessages, takeEvent, type EventHandlers, type EventName } from './event-messages.js'
import { FrameParser, FrameStatus, FrameType, frameBytes, type Frame, type FrameHeader } from './frame.js'
import { Keepalive, keepaliveProgram, type KeepaliveTimes } from './keepalive.js'
import { procedureNamed, remoteProgram, type ArgumentsOf, type ProcedureName, type ResultOf } from './procedures.js'
import { remoteErrorOf } from './remote-error.js'
import { RemoteStream } from './remote-stream.js'
import { XdrReader, XdrWriter } from './xdr.js'

const noBytes = Buffer.alloc(0)

/** Bytes of a stream that may come before the answer to its call: a picture of a large screen. */
const maxEarlyBytes = 64 * 2 ** 20

/**
 * One connection to a libvirt daemon: calls, whose answers may come in any order, events and streams. A daemon works on five calls of a
 * connection at a time, and then reads no more from it: calls that take long are for connections of their own.
 *
 * The first failure ends it, and every call and stream under way with it.
 */
export class RpcConnection {
  readonly #socket: Duplex
  readonly #parser = new FrameParser()
  readonly #pending = new Map<number, Deferred<Buffer>>()
  readonly #streams = new Map<number, RemoteStream>()
  readonly #events: EventHandlers
  readonly #keepalive: Keepalive
  readonly #lost = new Deferred<VmError>()
  #serial = randomInt(2 ** 16)

  constructor(socket: Duplex, events: EventHandlers = {}, times?: KeepaliveTimes) {
    this.#socket = socket
    this.#events = events
    this.#keepalive = new Keepalive(
      {
        send: (frame) => {
          this.#write(frame, noBytes)
        },
        calls: () => this.#pending.size,
        streams: () => this.#streams.size,
        lose: (reason) => {
          this.#fail(lost(reason))
        },
      },
      times,
    )
    socket.on('data', (piece: Buffer) => {
      this.#receive(piece)
    })
    socket.on('error', (error) => {
      this.#fail(lost(error.message, error))
    })
    socket.on('close', () => {
      this.#fail(lost('libvirt has closed the connection'))
    })
    socket.on('end', () => {
      this.#fail(lost('libvirt has closed the connection'))
    })
  }

  /** Resolves with the reason once the connection is gone. */
  get lost(): Promise<VmError> {
    return this.#lost.promise
  }

  /** Whether calls can be made. */
  get isOpen(): boolean {
    return this.#lost.value === undefined
  }

  /** How many calls libvirt has not answered. */
  get callsUnderWay(): number {
    return this.#pending.size
  }

  /**
   * Calls a procedure.
   *
   * @throws RemoteError if libvirt refuses; ConnectionError if the connection is lost, and with it the answer
   */
  async call<P extends ProcedureName>(name: P, args: ArgumentsOf<P>): Promise<ResultOf<P>> {
    return await this.#send(name, args, this.#newSerial())
  }

  /**
   * Calls a procedure that opens a stream. What arrives before its answer is in the stream: until then, reading can't stop, since the
   * answer comes behind it.
   */
  async open<P extends ProcedureName>(
    name: P,
    args: ArgumentsOf<P>,
  ): Promise<{ readonly answer: ResultOf<P>; readonly stream: RemoteStream }> {
    const serial = this.#newSerial()
    const header = { program: remoteProgram, procedure: procedureNamed[name].number, serial }
    let isAnswered = false
    const stream = new RemoteStream({
      send: (status, bytes, sent) => {
        this.#write({ ...header, type: FrameType.stream, status }, bytes, sent)
      },
      pause: () => {
        if (isAnswered) this.#socket.pause()
        else if (stream.readableLength > maxEarlyBytes) throw tooEarly(stream.readableLength)
      },
      resume: () => this.#socket.resume(),
      forget: () => this.#streams.delete(serial),
    })
    this.#streams.set(serial, stream)
    try {
      const answer = await this.#send(name, args, serial)
      isAnswered = true
      return { answer, stream }
    } catch (error) {
      stream.fail(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }

  /** Registers for an event. Its messages go to the handler that the connection was made with. */
  async listenTo(name: EventName): Promise<void> {
    const { event: eventID } = eventMessages[name]
    await this.call('connect_domain_event_callback_register_any', { eventID, dom: undefined })
  }

  /** Has libvirt notice if this process hangs, and notices itself if libvirt does. */
  keepAlive(): void {
    this.#keepalive.start()
  }

  /** Ends the connection at once: all that is under way fails with the reason. */
  destroy(reason: VmError): void {
    this.#fail(reason)
  }

  async #send<P extends ProcedureName>(name: P, args: ArgumentsOf<P>, serial: number): Promise<ResultOf<P>> {
    if (this.#lost.value !== undefined) throw notSent(this.#lost.value)
    const { number, args: codec, result } = procedureNamed[name]
    const writer = new XdrWriter()
    codec.write(writer, args)
    const answer = new Deferred<Buffer>()
    this.#pending.set(serial, answer)
    const header = { program: remoteProgram, procedure: number, type: FrameType.call, serial, status: FrameStatus.ok }
    this.#write(header, writer.bytes)
    return result.read(new XdrReader(await answer.promise))
  }

  /** A number that no call and no stream has at present. */
  #newSerial(): number {
    do this.#serial = (this.#serial + 1) >>> 0
    while (this.#pending.has(this.#serial) || this.#streams.has(this.#serial))
    return this.#serial
  }

  #write(header: FrameHeader, payload: Uint8Array, sent?: () => void): void {
    if (this.#socket.writable) this.#socket.write(frameBytes(header, payload), sent)
    else sent?.()
  }

  #receive(piece: Buffer): void {
    if (!this.isOpen) return
    this.#keepalive.heard()
    try {
      this.#parser.push(piece, (frame) => {
        if (this.isOpen) this.#take(frame)
      })
    } catch (error) {
      this.#fail(error instanceof ProtocolError ? error : lost(String(error), error))
    }
  }

  /** By its type first: an event has the serial of a call. */
  #take(frame: Frame): void {
    switch (frame.type) {
      case FrameType.reply:
        this.#takeReply(frame)
        return
      case FrameType.message:
        if (frame.program === keepaliveProgram) this.#keepalive.take(frame)
        else this.#takeEvent(frame)
        return
      case FrameType.stream:
      case FrameType.streamHole:
        this.#streams.get(frame.serial)?.receive(frame)
        return
      default:
        throw new ProtocolError({ reason: `libvirt sent a frame of the unknown type ${String(frame.type)}` })
    }
  }

  #takeReply({ serial, status, payload }: Frame): void {
    const pending = this.#pending.get(serial)
    if (pending === undefined) {
      throw new ProtocolError({ reason: `libvirt answered a call ${String(serial)}, which was not made` })
    }
    this.#pending.delete(serial)
    if (status === FrameStatus.ok) pending.resolve(payload)
    else pending.reject(remoteErrorOf(payload))
  }

  /** Messages that were not asked for are left alone: a newer libvirt may have more. */
  #takeEvent({ program, procedure, payload }: Frame): void {
    if (program !== remoteProgram) return
    takeEvent(this.#events, procedure, payload)
  }

  #fail(reason: VmError): void {
    if (!this.isOpen) return
    this.#lost.resolve(reason)
    this.#keepalive.stop()
    this.#socket.destroy()
    const calls = [...this.#pending.values()]
    const streams = [...this.#streams.values()]
    this.#pending.clear()
    for (const call of calls) call.reject(reason)
    for (const stream of streams) stream.fail(reason)
  }
}

const lost = (reason: string, cause?: unknown): ConnectionError =>
  new ConnectionError({
    reason: `the connection to libvirt was lost: ${reason}`,
    native: { driver: 'libvirt', message: reason },
    cause,
  })

const tooEarly = (bytes: number): ProtocolError =>
  new ProtocolError({ reason: `libvirt sent ${String(bytes)} bytes of a stream before it answered the call for it` })

/** The error of a call on a connection that was lost before. */
const notSent = ({ reason, native, hint }: VmError): ConnectionError =>
  new ConnectionError({ reason, native, hint: hint ?? 'Connect again with connect().' })
