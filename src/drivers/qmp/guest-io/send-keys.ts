import { keyChords } from '../../../keyboard/key-chords.js'
import type { KeyCode, Keys } from '../../../model/keys.js'
import type { RunningVm } from '../vm-access.js'

/** How long each key is held down: long enough for a guest to notice. */
const holdMs = 20

export async function sendKeys({ monitor }: RunningVm, keys: Keys): Promise<void> {
  const chords = keyChords(keys)
  await monitor(async (client) => {
    for (const chord of chords) {
      const pressed = chord.map((key) => ({ type: 'qcode', data: qcodeOf(key) }))
      await client.execute('send-key', { keys: pressed, 'hold-time': holdMs })
    }
  })
}

const named: Readonly<Partial<Record<KeyCode, string>>> = {
  Minus: 'minus',
  Equal: 'equal',
  BracketLeft: 'bracket_left',
  BracketRight: 'bracket_right',
  Semicolon: 'semicolon',
  Quote: 'apostrophe',
  Backquote: 'grave_accent',
  Backslash: 'backslash',
  Comma: 'comma',
  Period: 'dot',
  Slash: 'slash',
  Space: 'spc',
  Enter: 'ret',
  Tab: 'tab',
  Backspace: 'backspace',
  Escape: 'esc',
  CapsLock: 'caps_lock',
  ShiftLeft: 'shift',
  ShiftRight: 'shift_r',
  ControlLeft: 'ctrl',
  ControlRight: 'ctrl_r',
  AltLeft: 'alt',
  AltRight: 'alt_r',
  MetaLeft: 'meta_l',
  MetaRight: 'meta_r',
  ArrowUp: 'up',
  ArrowDown: 'down',
  ArrowLeft: 'left',
  ArrowRight: 'right',
  Insert: 'insert',
  Delete: 'delete',
  Home: 'home',
  End: 'end',
  PageUp: 'pgup',
  PageDown: 'pgdn',
  PrintScreen: 'print',
  ScrollLock: 'scroll_lock',
  NumLock: 'num_lock',
  ContextMenu: 'menu',
  IntlBackslash: 'less',
  NumpadAdd: 'kp_add',
  NumpadSubtract: 'kp_subtract',
  NumpadMultiply: 'kp_multiply',
  NumpadDivide: 'kp_divide',
  NumpadDecimal: 'kp_decimal',
  NumpadEnter: 'kp_enter',
}

/** The key's name in QEMU's QKeyCode (qapi/ui.json): `KeyA` is `a`, `Digit1` is `1`, `F1` is `f1`, `Numpad0` is `kp_0`. */
const qcodeOf = (key: KeyCode): string =>
  named[key] ??
  key
    .replace(/^(?:Key|Digit)/, '')
    .replace(/^Numpad/, 'kp_')
    .toLowerCase()
