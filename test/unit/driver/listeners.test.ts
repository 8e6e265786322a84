import type { VmEvent } from 'awaitvm'
import { expect, test } from 'vitest'
import { Listeners } from '../../../src/driver/listeners.js'

const event: VmEvent = { type: 'created', vmId: 'a', name: 'web-1', at: new Date(0) }

test('every listener hears an event, in the order of subscribing, until it is taken away', () => {
  const { subscribe, emit } = new Listeners()
  const heard: string[] = []
  const forget = subscribe(({ type }) => heard.push(`first: ${type}`))
  subscribe(({ type }) => heard.push(`second: ${type}`))
  emit(event)
  forget()
  emit(event)
  expect(heard).toEqual(['first: created', 'second: created', 'second: created'])
})

test('a listener that subscribed twice is called twice, and taken away once by each function', () => {
  const { subscribe, emit } = new Listeners()
  const heard: VmEvent[] = []
  const hear = (each: VmEvent): number => heard.push(each)
  const [forget] = [subscribe(hear), subscribe(hear)]
  emit(event)
  expect(heard).toHaveLength(2)
  forget()
  emit(event)
  expect(heard).toHaveLength(3)
})

test('it is empty while nobody listens', () => {
  const listeners = new Listeners()
  expect(listeners.isEmpty).toBe(true)
  const forget = listeners.subscribe(() => undefined)
  expect(listeners.isEmpty).toBe(false)
  forget()
  expect(listeners.isEmpty).toBe(true)
})
