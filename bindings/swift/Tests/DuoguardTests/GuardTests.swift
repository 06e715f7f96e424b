import XCTest

@testable import Duoguard

final class GuardTests: XCTestCase {
    func testVerdictsAndErrors() throws {
        let guardian = try Guard(path: "../../models/mini")
        let safe = try guardian.check("How do I bake bread at home?")
        XCTAssertFalse(safe.flagged)
        XCTAssertEqual(safe.scores.count, guardian.categories.count)
        XCTAssertEqual(try guardian.check("bread", language: "pt_BR").language, "pt-BR")
        XCTAssertThrowsError(try guardian.check("bread", language: "mostly German"))
        XCTAssertThrowsError(try Guard(path: "no/such/bundle"))
    }
}
