/** A long-running operation in memory, followed by Azure's poller. */
import { createHttpPoller, type OperationState, type PollerLike } from '@azure/core-lro'

type Poller<T> = PollerLike<OperationState<T>, T>

const request = { method: 'POST', url: '/start' }

const poll = <T>(answer: () => Promise<T>): Poller<T> =>
  createHttpPoller({
    sendInitialRequest: async () => ({
      flatResponse: undefined,
      rawResponse: { statusCode: 202, request, headers: { 'operation-location': '/status' } },
    }),
    sendPollRequest: async () => ({
      flatResponse: await answer(),
      rawResponse: { statusCode: 200, request, headers: {}, body: { status: 'Succeeded' } },
    }),
  })

/** Polls an operation that has ended at the first poll, so that the poller never waits. */
export const pollEnded = <T>(value: T): Poller<T> => poll(async () => value)

/** Polls an operation that does not end. */
export const pollPending = (): Poller<unknown> => poll(() => new Promise(() => undefined))
