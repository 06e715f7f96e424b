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

    func testABundleWhoseKeyIsNamedHasToBeSigned() throws {
        let folder = try XCTUnwrap(ProcessInfo.processInfo.environment["DUOGUARD_SIGNED"])
        let key = try String(contentsOfFile: folder + "/minisign.pub", encoding: .utf8)
        let other = try String(contentsOfFile: folder + "/other.pub", encoding: .utf8)
        let signed = folder + "/signed"
        XCTAssertFalse(try Guard(path: signed, publicKey: key).check("bread").flagged)
        XCTAssertThrowsError(try Guard(path: signed, publicKey: other))
        XCTAssertThrowsError(try Guard(path: "../../models/mini", publicKey: key))
    }
}
