/** What components are made of: Preact with htm's templates and signals. Pages import these from here alone. */

import { Component, Fragment, h, render } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export { Component, Fragment, h, render };
export { useCallback, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.js";
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from "../vendor/signals.js";

export const html = htm.bind(h);
