import CDuoguard
import Foundation

/// A call that failed. A text whose check failed was not checked: do not take it for safe.
public struct GuardError: Error, CustomStringConvertible {
    /// The C header's status, such as `DUOGUARD_IO`.
    public let status: Int32
    /// What was expected, what was found, what to do.
    public let description: String

    /// Throws what a status other than `DUOGUARD_OK` says.
    static func require(_ status: duoguard_status, _ error: inout duoguard_error) throws {
        guard status != 0 else { return }
        let message = withUnsafeBytes(of: &error.message) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        throw GuardError(status: status, description: message)
    }
}

/// What the model says about one text.
public struct Verdict: Equatable, Sendable {
    /// Whether a category's score exceeds its threshold.
    public let flagged: Bool
    /// The category that exceeds its threshold by most.
    public let category: String?
    /// The largest score of any category, a probability in 0...1.
    public let score: Float
    /// One per category, in the order of `Guard.categories`.
    public let scores: [Float]
    /// The tag of the language whose thresholds applied; "und": not identified.
    public let language: String
    /// Tokens in the text.
    public let tokens: UInt64
    /// Windows that it was scored in; 0 for empty text, which is safe.
    public let windows: UInt32
}

/// A model that is open. Any number of threads may use it at once: each check computes with a
/// session of its own, and sessions wait for the next check.
public final class Guard: @unchecked Sendable {
    /// The names of the categories, in the order of scores.
    public let categories: [String]
    private let model: OpaquePointer
    private let engine: String?
    private let lock = NSLock()
    private var idle: [OpaquePointer] = []

    /// Opens the bundle in a folder; `engine` nil takes the first that is available. `publicKey` is
    /// the text of a minisign.pub: the bundle must have its signature, and be as it was signed; nil
    /// asks for none.
    public init(path: String, engine: String? = nil, publicKey: String? = nil) throws {
        var error = duoguard_error()
        var opened: OpaquePointer?
        let status = withOptionalCString(publicKey) { key in
            var options = duoguard_model_options()
            options.struct_size = UInt32(MemoryLayout<duoguard_model_options>.size)
            options.public_key = key
            return duoguard_model_open_with(path, &options, &opened, &error)
        }
        try GuardError.require(status, &error)
        let model = opened!
        self.model = model
        self.engine = engine
        categories = (0..<duoguard_model_category_count(model)).map {
            String(cString: duoguard_model_category_name(model, $0))
        }
        put(try newSession())
    }

    deinit {
        idle.forEach(duoguard_session_free)
        duoguard_model_free(model)
    }

    /// Checks a text, or a response to it; `language` nil identifies it from the text.
    public func check(
        _ text: String, response: String? = nil, language: String? = nil
    ) throws -> Verdict {
        let session = try take()
        var scores = [Float](repeating: 0, count: categories.count)
        var found = duoguard_verdict()
        found.struct_size = UInt32(MemoryLayout<duoguard_verdict>.size)
        var error = duoguard_error()
        let status = withBytes(text) { prompt, promptSize in
            withBytes(response) { answer, answerSize in
                withOptionalCString(language) { tag in
                    var input = duoguard_input()
                    input.struct_size = UInt32(MemoryLayout<duoguard_input>.size)
                    input.prompt = prompt
                    input.prompt_size = promptSize
                    input.response = answer
                    input.response_size = answerSize
                    input.language = tag
                    return duoguard_session_check(
                        session, &input, nil, &scores, scores.count, &found, &error)
                }
            }
        }
        // A session that panicked can only be freed.
        if status == duoguard_status(DUOGUARD_PANIC) {
            duoguard_session_free(session)
        } else {
            put(session)
        }
        try GuardError.require(status, &error)
        let tag = withUnsafeBytes(of: &found.language) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return Verdict(
            flagged: found.flagged != 0,
            category: found.top_category < 0 ? nil : categories[Int(found.top_category)],
            score: found.top_score, scores: scores, language: tag, tokens: found.tokens,
            windows: found.windows)
    }

    private func take() throws -> OpaquePointer {
        let waiting = lock.withLock { idle.popLast() }
        return try waiting ?? newSession()
    }

    private func put(_ session: OpaquePointer) {
        lock.withLock { idle.append(session) }
    }

    private func newSession() throws -> OpaquePointer {
        var error = duoguard_error()
        var session: OpaquePointer?
        let status = withOptionalCString(engine) { name in
            var options = duoguard_options()
            options.struct_size = UInt32(MemoryLayout<duoguard_options>.size)
            options.engine = name
            return duoguard_session_new(model, &options, &session, &error)
        }
        try GuardError.require(status, &error)
        return session!
    }
}

/// The bytes of a text during a call; NULL for nil, and not NULL for empty text.
private func withBytes<T>(_ text: String?, _ call: (UnsafePointer<CChar>?, Int) -> T) -> T {
    guard let text else { return call(nil, 0) }
    return text.withCString { call($0, text.utf8.count) }
}

private func withOptionalCString<T>(_ text: String?, _ call: (UnsafePointer<CChar>?) -> T) -> T {
    guard let text else { return call(nil) }
    return text.withCString { call($0) }
}
