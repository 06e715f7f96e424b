/** A call that failed. A text whose check failed was not checked: do not take it for safe. */
export declare class GuardError extends Error {
  readonly status:
    | "INVALID_ARGUMENT"
    | "IO"
    | "INVALID_MODEL"
    | "UNSUPPORTED"
    | "ENGINE"
    | "OUT_OF_MEMORY"
    | "PANIC";
}

/** Whether this machine runs the build with 128-bit SIMD. */
export declare function hasSimd(): boolean;

/** Where the window that scored highest lies: `text.slice(start, end)`. */
export interface Span {
  readonly part: "prompt" | "response";
  readonly start: number;
  readonly end: number;
}

/** What the model says about one text. */
export interface Verdict {
  /** Whether a category's score exceeds its threshold. */
  readonly flagged: boolean;
  /** The category that exceeds its threshold by most; null when nothing is flagged. */
  readonly category: string | null;
  /** The largest score of any category, a probability in [0, 1]. */
  readonly score: number;
  /** The score of every category. */
  readonly scores: Readonly<Record<string, number>>;
  /** The tag of the language whose thresholds applied; "und": not identified. */
  readonly language: string;
  readonly tokens: number;
  /** Those of the tokens that at least one window covered. */
  readonly tokensScored: number;
  /** Windows that the text was scored in; 0 for empty text, which is safe. */
  readonly windows: number;
  /** Whether maxTokens left some of the text unscored. */
  readonly partial: boolean;
  readonly span: Span;
}

/** How a text is checked. */
export interface CheckOptions {
  /** A tag such as "en" or "pt-BR"; absent: identified from the text. */
  language?: string;
  /** How prompt and response become one text, or stay two; "space" by default. */
  join?: "space" | "newline" | "separate";
  /** Score the first tokens, at most this many. */
  maxTokens?: number;
  /** Take the thresholds at which the model flags at most this share of safe texts. */
  targetFpr?: number;
  /** Score what is literally written, with its disguises on. */
  literal?: boolean;
  /** By category, in (0, 1], in place of the model's. */
  thresholds?: Record<string, number>;
}

/** How a guard is loaded. */
export interface LoadOptions {
  /** The folder of simd.wasm, plain.wasm and mini/, relative to the page; absent: this package's. */
  assets?: string | URL;
  /** Another bundle than the one in `assets`: its files by their names. */
  files?: Record<string, Uint8Array>;
  /**
   * The text of a minisign.pub: the bundle must hold its signature of manifest.json,
   * manifest.json.minisig, and be as it was signed. That of `assets` has none.
   */
  publicKey?: string;
  /** Which build; absent: the one that this machine runs. */
  simd?: boolean;
  /** The engine; "native" by default. */
  engine?: string;
}

/** How a stream is read. */
export interface StreamOptions extends CheckOptions {
  /** What the streamed response answers; absent: the stream is itself a prompt. */
  prompt?: string;
  /** Bytes of new text after which a push draws a verdict; 256 by default. */
  debounceBytes?: number;
  /** Whether verdicts on the way go on from the one before; true by default. */
  cache?: boolean;
}

/** A text that is checked while it is still being written. */
export declare class Stream {
  private constructor();
  /** Takes the next piece, and gives a verdict on the text so far if enough of it is new. */
  push(piece: string | Uint8Array): Verdict | null;
  /** The verdict on the whole text: exactly that of a check. */
  finish(): Verdict;
  /** Forgets the text. */
  close(): void;
}

/** A model that is open. */
export declare class Guard {
  private constructor();
  /** Loads the code that fits this machine, and the bundle. */
  static load(options?: LoadOptions): Promise<Guard>;
  /** The names of the categories, in the order of scores. */
  get categories(): string[];
  /** What computes. */
  get engine(): string;
  /** Checks a text, or a response to it. */
  check(text: string, options?: CheckOptions & { response?: string | null }): Verdict;
  /** Begins a text that comes piece by piece. */
  stream(options?: StreamOptions): Stream;
}
