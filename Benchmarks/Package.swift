// swift-tools-version: 6.2
// A package of its own, so that users of FlashMoE do not build its benchmarks.
import PackageDescription

let package = Package(
  name: "FlashMoEBenchmarks",
  dependencies: [.package(name: "FlashMoE", path: "..")],
  targets: [
    // What one core can do at best; shares nothing with the kernels it judges.
    .target(name: "CPeaks"),
    .executableTarget(
      name: "flashmoe-benchmarks",
      dependencies: [
        "CPeaks",
        .product(name: "FlashMoE", package: "FlashMoE"),
        .product(name: "WeightStore", package: "FlashMoE"),
        .product(name: "CKernels", package: "FlashMoE"),
        .product(name: "Support", package: "FlashMoE"),
      ]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu17
)
