// A recurrent cell and a sampler of torch's C++ interface, as people write extensions.
#include <torch/extension.h>

#include <vector>

std::vector<torch::Tensor> cell_cuda_forward(torch::Tensor input, torch::Tensor weights,
                                             torch::Tensor bias, torch::Tensor old_h,
                                             torch::Tensor old_cell);
std::vector<torch::Tensor> cell_cuda_backward(torch::Tensor grad_h, torch::Tensor grad_cell,
                                              torch::Tensor new_cell, torch::Tensor gates_in,
                                              torch::Tensor X, torch::Tensor gates,
                                              torch::Tensor weights);
torch::Tensor softmax_rows(const torch::Tensor& x);
torch::Tensor matmul_tiled(torch::Tensor a, torch::Tensor b);
void scale_(at::Tensor x, double factor, c10::optional<at::Tensor> offset);

#define CHECK_CUDA(x) TORCH_CHECK(x.device().is_cuda(), #x " must be a CUDA tensor")
#define CHECK_CONTIGUOUS(x) TORCH_CHECK(x.is_contiguous(), #x " must be contiguous")
#define CHECK_INPUT(x) CHECK_CUDA(x); CHECK_CONTIGUOUS(x)

std::vector<torch::Tensor> cell_forward(torch::Tensor input, torch::Tensor weights,
                                        torch::Tensor bias, torch::Tensor old_h,
                                        torch::Tensor old_cell) {
  CHECK_INPUT(input);
  CHECK_INPUT(weights);
  CHECK_INPUT(bias);
  CHECK_INPUT(old_h);
  CHECK_INPUT(old_cell);
  return cell_cuda_forward(input, weights, bias, old_h, old_cell);
}

std::vector<torch::Tensor> cell_backward(torch::Tensor grad_h, torch::Tensor grad_cell,
                                         torch::Tensor new_cell, torch::Tensor X,
                                         torch::Tensor gates, torch::Tensor weights) {
  CHECK_INPUT(grad_h);
  return cell_cuda_backward(grad_h, grad_cell, new_cell, gates, X, gates, weights);
}

std::string describe(const at::Tensor& x, int axis = -1) {
  std::ostringstream text;
  text << x.sizes() << " " << x.dtype() << " " << x.scalar_type() << " " << x.device() << " "
       << x.dim() << " " << x.size(axis) << " " << x.strides()[0] << " " << x.numel() << " "
       << x.element_size() << " " << x.is_contiguous() << " " << x.requires_grad();
  return text.str();
}

// torch's operators from C++, without a kernel.
std::tuple<torch::Tensor, double, int64_t, bool> operators(torch::Tensor x,
                                                           std::vector<int64_t> shape,
                                                           at::IntArrayRef again, bool flag,
                                                           std::optional<std::string> word) {
  auto options = torch::TensorOptions().dtype(torch::kFloat64).device(x.device()).requires_grad(false);
  auto y = torch::zeros({2, 3}, options) + torch::ones_like(x).to(torch::kDouble) * 2;
  y += torch::full({2, 3}, 0.5, x.options()).to(options);
  y = y + x.to(torch::kFloat64).clamp(-1, 1).abs().sum({0, 1}, /*keepdim=*/true);
  auto parts = torch::cat({x, x * 2, -x}, 0).chunk(3, 0);
  y += parts[1].to(y.scalar_type()) - torch::stack({x, x}).mean(0).add(x, 1.0);
  auto [values, places] = x.max(1);
  TORCH_CHECK(places.dtype() == torch::kInt64 && values.size(0) == 2);
  TORCH_CHECK(torch::equal(torch::matmul(x, x.t()), at::mm(x, x.transpose(0, 1))));
  y = y.view(shape).reshape(again).contiguous();
  auto picked = x.index({torch::indexing::Slice(), 1});
  y[0] += picked.sum().item<float>() - x.index({torch::indexing::Slice(), 1}).sum().item().toFloat();
  double total = x.sum().item<double>();
  if (!flag) total = 1 / 4.0;
  return std::make_tuple(y, total, places.sum().item<int64_t>(), word.has_value() && *word == "yes");
}

std::vector<at::Tensor> none_and_lists(const std::vector<at::Tensor>& given, at::ScalarType type) {
  std::vector<at::Tensor> out;
  for (const auto& each : given) out.push_back(each.to(type));
  out.push_back(at::Tensor());
  return out;
}

int fails(int how) {
  if (how == 1) throw std::runtime_error("a plain failure");
  if (how == 2) throw std::invalid_argument("a wrong value");
  if (how == 3) TORCH_CHECK(false, "a check of ", how);
  if (how == 4) at::mm(torch::zeros({2, 3}), torch::zeros({2, 3}));
  if (how == 5) torch::zeros({2, 3}).data_ptr<double>();
  if (how == 6) torch::zeros({2, 3}).size(2);
  return how;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.doc() = "cells";
  m.def("forward", &cell_forward, "cell forward (CUDA)");
  m.def("backward", &cell_backward, "cell backward (CUDA)");
  m.def("softmax", &softmax_rows, py::arg("x"));
  m.def("matmul", &matmul_tiled);
  m.def("scale_", &scale_, py::arg("x"), py::arg("factor") = 2.0, py::arg("offset") = py::none());
  m.def("describe", &describe, py::arg("x"), py::arg("axis") = -1);
  m.def("operators", &operators);
  m.def("lists", &none_and_lists);
  m.def("fails", &fails);
  m.def("lambda", [](int64_t a, float b) { return a * b; });
  m.attr("version") = 3;
}
