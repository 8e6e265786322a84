const width = 160
const height = 100
/** The colours of the bars, from left to right: those of the embedded host's guest. */
const bars = [0xffffff, 0xffff00, 0x00ffff, 0x00ff00, 0xff00ff, 0xff0000, 0x0000ff, 0x000000]

/** The screen of every simulated guest, as PNG: eight vertical bars. */
export async function drawScreen(): Promise<Uint8Array> {
  const { encode } = await import('fast-png')
  const data = new Uint8Array(width * height * 3)
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    const colour = bars[Math.floor(((pixel % width) * bars.length) / width)] ?? 0
    data.set([colour >> 16, (colour >> 8) & 0xff, colour & 0xff], pixel * 3)
  }
  return encode({ width, height, data, channels: 3, depth: 8 })
}
