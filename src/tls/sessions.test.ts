import { expect, it } from 'vitest';
import { Sessions, ticketName } from './sessions.ts';

it('knows the connection that a session began with, by its latest name', () => {
  const sessions = new Sessions();
  sessions.note('id', 'first');
  sessions.note(ticketName(Buffer.from('ticket')), 'first');
  expect([sessions.find('id'), sessions.find(ticketName(Buffer.from('ticket')))]).toEqual(['first', 'first']);
  sessions.note('id', 'second');
  expect(sessions.find('id')).toBe('second');
  expect(sessions.find('other')).toBeNull();
});

it('has nothing for a connection without a session', () => {
  const sessions = new Sessions();
  sessions.note('', 'first');
  expect([sessions.size, sessions.find('')]).toEqual([0, null]);
});

it('is bounded: the oldest makes room', () => {
  const sessions = new Sessions();
  for (let i = 0; i < 40_000; i++) sessions.note(`id${i}`, 'random');
  expect(sessions.size).toBe(32_768);
  expect(sessions.find('id0')).toBeNull();
  expect(sessions.find('id39999')).toBe('random');
});
