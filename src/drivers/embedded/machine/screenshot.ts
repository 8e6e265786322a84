import type { Emulator } from './emulator.js'
import type { VgaLayer } from './emulator-internals.js'
import type { Frame } from './protocol.js'

/** The picture that a monitor would show at present. */
export const captureScreen = (emulator: Emulator): Frame =>
  emulator.vga.graphical_mode ? captureGraphics(emulator) : captureText(emulator)

const captureGraphics = (emulator: Emulator): Frame => {
  const { vga } = emulator
  const frame = blackFrame(vga.screen_width, vga.screen_height)
  const pixels = vga.virtual_width * vga.virtual_height
  if (pixels === 0 || frame.rgba.byteLength === 0) return blackFrame(640, 480)

  // Node has no `ImageData`: v86 draws only if it is given a buffer.
  const { address, data } = emulator.allocatePicture(pixels)
  vga.dest_buffet_offset = address
  vga.image_data = { data }
  const { screen } = vga
  const updateBuffer = screen.update_buffer
  screen.update_buffer = (layers) => {
    for (const layer of layers) copyLayer(layer, data, vga.virtual_width, frame)
  }
  try {
    vga.update_layers()
    vga.complete_redraw()
    vga.complete_replot()
    vga.screen_fill_buffer()
  } finally {
    screen.update_buffer = updateBuffer
    vga.image_data = undefined
  }
  return frame
}

const copyLayer = (layer: VgaLayer, data: Uint8ClampedArray, dataWidth: number, frame: Frame): void => {
  for (let line = 0; line < layer.buffer_height; line++) {
    const y = layer.screen_y + line
    if (y < 0 || y >= frame.height) continue
    for (let column = 0; column < layer.buffer_width; column++) {
      const x = layer.screen_x + column
      if (x < 0 || x >= frame.width) continue
      const from = 4 * ((layer.buffer_y + line) * dataWidth + layer.buffer_x + column)
      const to = 4 * (y * frame.width + x)
      frame.rgba[to] = data[from] ?? 0
      frame.rgba[to + 1] = data[from + 1] ?? 0
      frame.rgba[to + 2] = data[from + 2] ?? 0
    }
  }
}

const fontPageB = 2
const glyphBytes = 32
const fontPageBytes = 256 * glyphBytes
/** Place of a font page in memory, by its number in the VGA's character map register. */
const fontPages: readonly number[] = [0, 2, 4, 6, 1, 3, 5, 7]

/** Text is drawn in the font that the guest loaded. If it loaded none, the letters are blank, as on a real monitor. */
const captureText = (emulator: Emulator): Frame => {
  const { vga } = emulator
  const select = vga.character_map_select
  const pageA = fontPages[((select & 0x0c) >> 2) | ((select & 0x20) >> 3)] ?? 0
  const pageB = fontPages[(select & 0x03) | ((select & 0x10) >> 2)] ?? 0
  const cell = {
    width: (vga.clocking_mode & 0x08) !== 0 ? 16 : (vga.clocking_mode & 0x01) !== 0 ? 8 : 9,
    height: (vga.max_scan_line & 0x1f) + 1,
    extendsLines: (vga.attribute_mode & 0x04) !== 0,
  }
  const frame = blackFrame(vga.max_cols * cell.width, vga.max_rows * cell.height)
  const { screen } = vga
  const { put_char: putChar, FLAG_FONT_PAGE_B: flag } = screen
  screen.FLAG_FONT_PAGE_B = fontPageB
  screen.put_char = (row, column, character, flags, background, foreground) => {
    const page = (flags & fontPageB) === 0 ? pageA : pageB
    const start = page * fontPageBytes + character * glyphBytes
    const glyph = vga.plane2.subarray(start, start + cell.height)
    drawGlyph(frame, cell, { row, column, character }, glyph, background, foreground)
  }
  try {
    emulator.drawText()
  } finally {
    screen.put_char = putChar
    if (flag === undefined) delete screen.FLAG_FONT_PAGE_B
    else screen.FLAG_FONT_PAGE_B = flag
  }
  return frame
}

const drawGlyph = (
  frame: Frame,
  cell: { readonly width: number; readonly height: number; readonly extendsLines: boolean },
  place: { readonly row: number; readonly column: number; readonly character: number },
  glyph: Uint8Array,
  background: number,
  foreground: number,
): void => {
  const isLineDrawing = place.character >= 0xc0 && place.character <= 0xdf
  for (let line = 0; line < cell.height; line++) {
    const bits = glyph[line] ?? 0
    for (let x = 0; x < cell.width; x++) {
      const column = cell.width === 16 ? x >> 1 : x
      const isSet =
        column < 8 ? ((bits >> (7 - column)) & 1) === 1 : cell.extendsLines && isLineDrawing && (bits & 1) === 1
      const colour = isSet ? foreground : background
      const to = 4 * ((place.row * cell.height + line) * frame.width + place.column * cell.width + x)
      frame.rgba[to] = (colour >> 16) & 0xff
      frame.rgba[to + 1] = (colour >> 8) & 0xff
      frame.rgba[to + 2] = colour & 0xff
    }
  }
}

const blackFrame = (width: number, height: number): Frame => {
  const rgba = new Uint8Array(4 * width * height)
  for (let index = 3; index < rgba.byteLength; index += 4) rgba[index] = 0xff
  return { width, height, rgba }
}
