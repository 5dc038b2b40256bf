// SPDX-License-Identifier: Apache-2.0
// The contracts on the fake; tests/vm/cgroup_vmtest.cc has them on the kernel.
#include <string>

#include "tests/cgroup/cpu_contract.h"
#include "tests/cgroup/tree_contract.h"
#include "tests/support/cgroup_tree.h"

namespace plimsoll::test::contract_test {
namespace {

class FakeTree {
 public:
  cgroup::Root root() const { return tree_.root(); }
  std::string path() const { return "work"; }
  void add(const std::string& name) { tree_.add("work/" + name); }
  void remove(const std::string& name) { tree_.remove("work/" + name); }

 private:
  CgroupTree tree_{{"work", {}}};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Fake, TreeContract, FakeTree);
INSTANTIATE_TYPED_TEST_SUITE_P(Fake, CpuContract, FakeTree);

}  // namespace
}  // namespace plimsoll::test::contract_test
