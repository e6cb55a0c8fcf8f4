#pragma once

namespace simt {

// Runs the threads of one block to their ends. Throws Error.
void run_block();

}  // namespace simt
