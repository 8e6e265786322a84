import { encode } from 'fast-png'
import type { Frame } from './protocol.js'

/** The picture as a PNG file. */
export const screenshotPng = (frame: Frame): Uint8Array =>
  encode({ width: frame.width, height: frame.height, data: frame.rgba, channels: 4, depth: 8 })
