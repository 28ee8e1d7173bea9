/**
 * The player's states, and what it says to people.
 *
 * Invariant: every state has a headline.
 */

/**
 * @typedef {"idle"|"connecting"|"waiting"|"live"|"paused"|"ended"|"reconnecting"|"error"} State
 */

/** @type {Record<State, string>} */
export const HEADLINES = {
  idle: "No stream chosen",
  connecting: "Connecting…",
  waiting: "Waiting for a publisher",
  live: "Live",
  paused: "Paused while hidden",
  ended: "Stream ended",
  reconnecting: "Reconnecting",
  error: "Cannot play this stream",
};

/** @param {string} text */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @param {number} bitsPerSecond */
export function formatBitrate(bitsPerSecond) {
  if (bitsPerSecond >= 999_500) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1000)} kbit/s`;
}
