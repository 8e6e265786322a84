import { parentPort, workerData } from 'node:worker_threads'
import { type MachinePort, type MachineThreadData, serveMachine } from './machine/machine-server.js'

serveMachine(parentPort as MachinePort, workerData as MachineThreadData)
