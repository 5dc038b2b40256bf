// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/annotations.h"
#include "tests/support/source_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace plimsoll::agent::annotations_test {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(Annotations, AreSortedByContainer) {
  const std::vector<std::string> names{"app", "a"};
  const PodAnnotations sorted = sort_annotations({{"plimsoll.dev/dry-run", "1"},
                                                  {"app.plimsoll.dev/dry-run", "2"},
                                                  {"a.plimsoll.dev/look-ahead", "3"},
                                                  {"kubernetes.io/config.hash", "4"},
                                                  {"dry-run", "5"}},
                                                 names);
  EXPECT_THAT(sorted.problems, IsEmpty());
  ASSERT_NE(sorted.get(0, Annotation::kDryRun), nullptr);
  EXPECT_EQ(*sorted.get(0, Annotation::kDryRun),
            (FoundAnnotation{"app.plimsoll.dev/dry-run", "2"}));
  EXPECT_EQ(*sorted.get(1, Annotation::kDryRun), (FoundAnnotation{"plimsoll.dev/dry-run", "1"}));
  EXPECT_EQ(sorted.get(0, Annotation::kLookAhead), nullptr);
  EXPECT_EQ(sorted.get(1, Annotation::kLookAhead)->value, "3");
}

TEST(Annotations, EveryKeyHasANameThatKubernetesTakesWithEveryContainer) {
  EXPECT_THAT(annotation_docs(), SizeIs(kAnnotations));
  const std::string longest(63, 'c');
  for (std::size_t i = 0; i < kAnnotations; ++i) {
    const AnnotationDoc& doc = annotation_docs()[i];
    EXPECT_EQ(doc.key, static_cast<Annotation>(i));
    const std::string name = longest + ".plimsoll.dev/" + std::string(to_string(doc.key));
    EXPECT_TRUE(is_label_key(name)) << name;
    const PodAnnotations sorted = sort_annotations({{name, "x"}}, std::vector{longest});
    ASSERT_NE(sorted.get(0, doc.key), nullptr) << name;
  }
}

TEST(Annotations, TheDocumentedPageIsThePage) {
  std::ifstream file(source_path("docs/pods.md"));
  std::stringstream text;
  text << file.rdbuf();
  if (text.str() == render_annotation_docs()) return;
  const std::string path = testing::TempDir() + "pods.md";
  std::ofstream(path) << render_annotation_docs();
  FAIL() << "docs/pods.md is not what the code says; the new one is " << path;
}

}  // namespace
}  // namespace plimsoll::agent::annotations_test
