// Packs a small synthetic store, slowly enough to be killed half-way: pack-victim OUT.fmoe
import FlashMoE
import Glibc
import Support
import WeightStore

do throws(Failure) {
  guard CommandLine.arguments.count == 2 else {
    throw Failure(.usage, "pack-victim", "give one output path")
  }
  let plan = try Synthesis.plan(try ModelShape.named("qwen3-tiny"), seed: 7)
  let options = PackOptions(
    threadCount: 2,
    isCancelled: {
      usleep(2000)
      return false
    })
  try Packer.pack(plan, to: CommandLine.arguments[1], options: options)
} catch {
  print(error)
  exit(1)
}
