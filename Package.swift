// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "FlashMoE",
  products: [
    .executable(name: "flashmoe", targets: ["flashmoe-cli"]),
    .library(name: "FlashMoE", targets: ["FlashMoE"]),
    .library(name: "WeightStore", targets: ["WeightStore"]),
    // For Benchmarks/, a package of its own.
    .library(name: "CKernels", targets: ["CKernels"]),
    .library(name: "Support", targets: ["Support"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    // Only the hub client and the command line are built on these.
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
  ],
  targets: [
    // Thin C: system libraries and kernels.
    .systemLibrary(
      name: "CUring", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
    .systemLibrary(
      name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
    .systemLibrary(
      name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .target(name: "CLinux"),
    .target(name: "CKernels"),

    // Swift, lowest first; arrows never turn back.
    .target(name: "Support", dependencies: ["CLinux"]),
    .target(name: "Checkpoints", dependencies: ["Support"]),
    .target(name: "Tokenization", dependencies: ["Support", "CPCRE2"]),
    .target(name: "ChatTemplates", dependencies: ["Support"]),
    .target(
      name: "WeightStore",
      dependencies: [
        "Support", "CKernels", "CUring", "CXXHash", "CLinux",
        .product(name: "Logging", package: "swift-log"),
      ]),
    .target(name: "NPUExec", dependencies: ["Support", "WeightStore", "CKernels"]),
    .target(
      name: "FlashMoE",
      dependencies: [
        "Support", "Checkpoints", "Tokenization", "ChatTemplates", "WeightStore", "NPUExec",
        "CKernels", "CLinux",
        .product(name: "Logging", package: "swift-log"),
      ]),
    .target(
      name: "Hub",
      dependencies: [
        "Support", "CLinux", "Checkpoints", "WeightStore", "FlashMoE",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Crypto", package: "swift-crypto"),
      ]),
    .executableTarget(
      name: "flashmoe-cli",
      dependencies: [
        "FlashMoE", "Hub", "WeightStore", "Checkpoints", "Tokenization", "ChatTemplates",
        "Support",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ]),

    // What several test targets share: fixtures, random numbers, mutation of hostile input.
    .target(name: "TestSupport", dependencies: ["Support"], path: "Tests/TestSupport"),
    .testTarget(name: "SupportTests", dependencies: ["Support", "TestSupport"]),
    .testTarget(name: "CKernelsTests", dependencies: ["CKernels"]),
    .testTarget(name: "CheckpointsTests", dependencies: ["Checkpoints", "Support", "TestSupport"]),
    .testTarget(
      name: "TokenizationTests", dependencies: ["Tokenization", "Support", "TestSupport"]),
    .testTarget(
      name: "ChatTemplatesTests", dependencies: ["ChatTemplates", "Support", "TestSupport"]),
    .testTarget(
      name: "WeightStoreTests",
      dependencies: [
        "WeightStore", "Support", "CKernels", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
      ]),
    .testTarget(
      name: "NPUExecTests", dependencies: ["NPUExec", "WeightStore", "Support", "CKernels"]),
    .testTarget(
      name: "FlashMoETests",
      dependencies: [
        "FlashMoE", "Checkpoints", "Tokenization", "ChatTemplates", "WeightStore", "Support",
        "TestSupport", "CKernels", "pack-victim", .product(name: "Logging", package: "swift-log"),
      ]),
    // A packer for tests to kill.
    .executableTarget(
      name: "pack-victim", dependencies: ["FlashMoE", "WeightStore", "Support"],
      path: "Tests/PackVictim"),
    // A hub on this machine that misbehaves when it is told to.
    .target(
      name: "HubServer",
      dependencies: [
        "Support",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Crypto", package: "swift-crypto"),
      ], path: "Tests/HubServer"),
    .testTarget(
      name: "HubTests",
      dependencies: ["Hub", "HubServer", "FlashMoE", "WeightStore", "Support", "TestSupport"]),
    .testTarget(
      name: "CommandLineTests",
      dependencies: [
        "FlashMoE", "Support", "Checkpoints", "TestSupport", "HubServer", "flashmoe-cli",
      ]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu17
)
