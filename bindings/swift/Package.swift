// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "Duoguard",
    platforms: [.iOS(.v15), .macOS(.v12)],
    products: [.library(name: "Duoguard", targets: ["Duoguard"])],
    targets: [
        // On Apple's systems, the xcframework of docs/embedding.md takes its place.
        .systemLibrary(name: "CDuoguard", pkgConfig: "duoguard"),
        .target(name: "Duoguard", dependencies: ["CDuoguard"]),
        .testTarget(name: "DuoguardTests", dependencies: ["Duoguard"]),
    ]
)
