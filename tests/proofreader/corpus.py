# ruff: noqa: E501 (LaTeX is easier to read in one line)
r"""Correct derivations in the notations that people use, typed for these tests.

Each entry names where its notation and its argument can be found; the typing is our own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A correct derivation, and what it takes as given."""

    name: str
    source: str
    latex: str
    definitions: tuple[str, ...] = ()


BISHOP = "Bishop, Pattern Recognition and Machine Learning (2006)"
MURPHY = "Murphy, Probabilistic Machine Learning: Advanced Topics (2023)"
BLEI = "Blei, Kucukelbir, McAuliffe, Variational Inference: A Review (2017)"
KINGMA = "Kingma, Welling, Auto-Encoding Variational Bayes (2014)"
INTRODUCTION = "Kingma, Welling, An Introduction to Variational Autoencoders (2019)"
BURDA = "Burda, Grosse, Salakhutdinov, Importance Weighted Autoencoders (2016)"
LI = "Li, Turner, Rényi Divergence Variational Inference (2016)"
DIENG = "Dieng et al., Variational Inference via chi Upper Bound Minimization (2017)"
HOFFMAN = "Hoffman, Johnson, ELBO surgery (2016)"
COVER = "Cover, Thomas, Elements of Information Theory (2006)"
OWEN = "Owen, Monte Carlo theory, methods and examples (2013)"
NEAL = "Neal, Hinton, A view of the EM algorithm (1998)"
DOERSCH = "Doersch, Tutorial on Variational Autoencoders (2016)"
RANGANATH = "Ranganath, Gerrish, Blei, Black Box Variational Inference (2014)"
MACKAY = "MacKay, Information Theory, Inference, and Learning Algorithms (2003)"
WAINWRIGHT = "Wainwright, Jordan, Graphical Models, Exponential Families (2008)"
COURSE = "the course's own chapters"

WEIGHT = (r"w(z) := \frac{p(x,z)}{q(z)}",)

CORPUS = [
    Entry("joint", COURSE, r"p(x,z) = p(x \mid z)\, p(z) = p(z \mid x)\, p(x)"),
    Entry("bayes", MACKAY, r"p(z|x) = \frac{p(x|z)p(z)}{p(x)} = \frac{p(x|z)\,p(z)}{\int p(x|z')\,p(z')\,dz'}"),
    Entry(
        "bayes-sum",
        BISHOP,
        r"p(\mathbf{z}|\mathbf{x}) = \frac{p(\mathbf{x},\mathbf{z})}{\sum_{\mathbf{z}} p(\mathbf{x},\mathbf{z})}",
    ),
    Entry(
        "evidence", COURSE, r"p(x) = \int p(x, z)\,\mathrm{d}z = \int p(x \mid z) p(z)\, dz = \E_{p(z)}[p(x \mid z)]"
    ),
    Entry("evidence-sum", BISHOP, r"p(\mathbf x) = \sum_{\mathbf z} p(\mathbf z)\, p(\mathbf x \mid \mathbf z)"),
    Entry("normalised", COURSE, r"\int p(z \mid x)\, dz = \sum_{z} p(z) = \iint p(x,z)\,dx\,dz = 1"),
    Entry("proportional", COURSE, r"p(z \mid x) \propto p(x, z) = p(x \mid z) p(z)"),
    Entry(
        "three-variables",
        BISHOP,
        r"p(a, b, c) = p(c|a,b)\,p(a,b) = p(c|a,b)\,p(b|a)\,p(a)",
    ),
    Entry("tower", COVER, r"\E_{p(x)}\left[\E_{p(z|x)}[f(z)]\right] = \E_{p(x,z)}[f(z)] = \E_{p(z)}[f(z)]"),
    Entry(
        "importance-identity",
        OWEN,
        r"\mathbb{E}_{p}[f(z)] = \int f(z)\,p(z)\,dz = \int f(z) \frac{p(z)}{q(z)} q(z)\,dz"
        r" = \mathbb{E}_{z\sim q}\left[f(z)\frac{p(z)}{q(z)}\right]",
    ),
    Entry(
        "importance-evidence",
        COURSE,
        r"\begin{aligned} p(x) &= \int p(x,z)\,dz \\ &= \int \frac{p(x,z)}{q(z)}\,q(z)\,dz \\"
        r" &= \E_{q(z)}\!\left[\frac{p(x,z)}{q(z)}\right] \end{aligned}",
    ),
    Entry("weight", COURSE, r"\E_{q(z)}[w(z)] = p(x)", WEIGHT),
    Entry("weight-defined-here", COURSE, r"w(z) := \frac{p(x,z)}{q(z)}, \qquad \E_{q(z)}[w(z)] = p(x)"),
    Entry("weight-posterior", COURSE, r"\frac{w(z)}{p(x)} = \frac{p(z|x)}{q(z)}", WEIGHT),
    Entry(
        "average-unbiased",
        OWEN,
        r"\E_{z_{1:K} \sim q}\left[\frac{1}{K}\sum_{k=1}^{K} w(z_k)\right]"
        r" = \frac1K \sum_{k=1}^K \E_{z_k\sim q}[w(z_k)] = p(x)",
        WEIGHT,
    ),
    Entry(
        "variance-weight",
        OWEN,
        r"\Var_{q}[w(z)] = \E_q[w(z)^2] - p(x)^2 = p(x)^2 \int \frac{p(z|x)^2}{q(z)}\,dz - p(x)^2"
        r" = p(x)^2\,\chi^2(p(z|x) \Vert q(z))",
        WEIGHT,
    ),
    Entry(
        "variance-average",
        OWEN,
        r"\mathrm{Var}_{z_{1:K}\sim q}\Big[\tfrac1K\sum_{k=1}^K w(z_k)\Big] = \frac{1}{K}\mathrm{Var}_{q(z)}[w(z)]",
        WEIGHT,
    ),
    Entry(
        "relative-variance",
        COURSE,
        r"\frac{\operatorname{Var}_{p(z)}[p(x\mid z)]}{p(x)^2} = \chi^2\big(p(z\mid x) \,\|\, p(z)\big)",
    ),
    Entry(
        "chi-square",
        DIENG,
        r"D_{\chi^2}(p(z|x)\|q(z)) = \mathbb{E}_{q(z)}\left[\left(\frac{p(z|x)}{q(z)}\right)^2 - 1\right]",
    ),
    Entry("chi-bounds-kl", COVER, r"D_{KL}(p(z|x) \| q(z)) \le \log\left(1 + \chi^2(p(z|x) \| q(z))\right)"),
    Entry("monte-carlo", COURSE, r"\log p(x) \approx \log \frac1K \sum_{k=1}^K p(x \mid z_k)"),
    Entry("monte-carlo-q", COURSE, r"p(x) \approx \frac{1}{K} \sum_{k=1}^{K} \frac{p(x, z_k)}{q(z_k)}"),
    Entry("jensen-two", COURSE, r"\log \E_{q(z)}[w(z)] \ge \E_{q(z)}[\log w(z)]", WEIGHT),
    Entry("jensen-exp", COVER, r"\E_{q(z)}\left[\exp(f(z))\right] \geq \exp\left(\E_{q(z)}[f(z)]\right)"),
    Entry("jensen-square", COVER, r"\E_{q(z)}[f(z)^2] \ge \left(\E_{q(z)}[f(z)]\right)^2"),
    Entry(
        "elbo-jensen",
        BLEI,
        r"\begin{align*} \log p(\mathbf{x}) &= \log \int p(\mathbf{x},\mathbf{z})\,d\mathbf{z} \\"
        r" &= \log \mathbb{E}_{q(\mathbf{z})}\left[\frac{p(\mathbf{x},\mathbf{z})}{q(\mathbf{z})}\right] \\"
        r" &\geq \mathbb{E}_{q(\mathbf{z})}[\log p(\mathbf{x},\mathbf{z})] - \mathbb{E}_{q(\mathbf{z})}[\log q(\mathbf{z})]"
        r" && \text{(Jensen)} \end{align*}",
    ),
    Entry(
        "elbo-kl",
        BLEI,
        r"\mathrm{KL}(q(\mathbf z)\,\|\,p(\mathbf z|\mathbf x)) = \mathbb E[\log q(\mathbf z)] - \mathbb E[\log p(\mathbf z|\mathbf x)]"
        r" = \mathbb E[\log q(\mathbf z)] - \mathbb E[\log p(\mathbf z, \mathbf x)] + \log p(\mathbf x)",
        (r"z \sim q(z)",),
    ),
    Entry(
        "elbo-forms",
        BLEI,
        r"\mathrm{ELBO}(q) = \mathbb{E}_q[\log p(z)] + \mathbb{E}_q[\log p(x|z)] - \mathbb{E}_q[\log q(z)]"
        r" = \mathbb{E}_q[\log p(x|z)] - \mathrm{KL}(q(z) \| p(z))",
    ),
    Entry(
        "elbo-decomposition",
        COURSE,
        r"\log p(x) = \underbrace{\E_{q(z)}\left[\log \frac{p(x,z)}{q(z)}\right]}_{\text{ELBO}}"
        r" + \underbrace{\KL\left(q(z) \,\Vert\, p(z\mid x)\right)}_{\ge 0}",
    ),
    Entry(
        "elbo-bishop",
        BISHOP,
        r"\begin{aligned} \ln p(\mathbf X) &= \mathcal{L}(q) + \mathrm{KL}(q\|p) \\"
        r" \mathcal{L}(q) &= \sum_{\mathbf Z} q(\mathbf Z) \ln\left\{\frac{p(\mathbf X,\mathbf Z)}{q(\mathbf Z)}\right\} \\"
        r" \mathrm{KL}(q\|p) &= -\sum_{\mathbf Z} q(\mathbf Z)\ln\left\{\frac{p(\mathbf Z|\mathbf X)}{q(\mathbf Z)}\right\}"
        r" \end{aligned}",
    ),
    Entry(
        "elbo-entropy",
        COURSE,
        r"\E_{q(z)}\left[\log \frac{p(x,z)}{q(z)}\right] = \E_{q(z)}[\log p(x,z)] + \mathrm{H}[q(z)]",
    ),
    Entry(
        "free-energy",
        NEAL,
        r"F(q,\theta) = \langle \log p_\theta(x,z) \rangle_{q(z)} + H[q(z)] = \log p_\theta(x)"
        r" - D_{KL}\left(q(z)\,||\,p_\theta(z|x)\right) \le \log p_\theta(x)",
    ),
    Entry(
        "vae-bound",
        KINGMA,
        r"\log p_{\boldsymbol\theta}(\mathbf{x}) \geq \mathbb{E}_{q_{\boldsymbol\phi}(\mathbf{z}|\mathbf{x})}"
        r"\left[-\log q_{\boldsymbol\phi}(\mathbf{z}|\mathbf{x}) + \log p_{\boldsymbol\theta}(\mathbf{x},\mathbf{z})\right]"
        r" = -D_{KL}(q_{\boldsymbol\phi}(\mathbf{z}|\mathbf{x})\|p_{\boldsymbol\theta}(\mathbf{z}))"
        r" + \mathbb{E}_{q_{\boldsymbol\phi}(\mathbf{z}|\mathbf{x})}\left[\log p_{\boldsymbol\theta}(\mathbf{x}|\mathbf{z})\right]",
    ),
    Entry(
        "vae-introduction",
        INTRODUCTION,
        r"\begin{align} \log p_\theta(\mathbf{x}) &= \mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}\left[\log p_\theta(\mathbf{x})\right] \\"
        r" &= \mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}\left[\log\left[\frac{p_\theta(\mathbf{x},\mathbf{z})}{p_\theta(\mathbf{z}|\mathbf{x})}\right]\right] \\"
        r" &= \mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}\left[\log\left[\frac{p_\theta(\mathbf{x},\mathbf{z})}{q_\phi(\mathbf{z}|\mathbf{x})}"
        r"\frac{q_\phi(\mathbf{z}|\mathbf{x})}{p_\theta(\mathbf{z}|\mathbf{x})}\right]\right] \\"
        r" &= \underbrace{\mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}\left[\log\left[\frac{p_\theta(\mathbf{x},\mathbf{z})}{q_\phi(\mathbf{z}|\mathbf{x})}\right]\right]}_{=\mathcal{L}_{\theta,\phi}(\mathbf{x})}"
        r" + \underbrace{\mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}\left[\log\left[\frac{q_\phi(\mathbf{z}|\mathbf{x})}{p_\theta(\mathbf{z}|\mathbf{x})}\right]\right]}_{=D_{KL}} \end{align}",
    ),
    Entry(
        "doersch",
        DOERSCH,
        r"\log P(X) - \mathcal{D}[Q(z|X)\|P(z|X)] = E_{z\sim Q}\left[\log P(X|z)\right] - \mathcal{D}\left[Q(z|X)\|P(z)\right]",
    ),
    Entry(
        "kl-chain",
        COURSE,
        r"\begin{align*} \KL(q_\phi(z|x) \Vert p_\theta(z|x)) &= \int q_\phi(z|x) \log\frac{q_\phi(z|x)}{p_\theta(z|x)}\,dz \\"
        r" &= \int q_\phi(z|x) \log\frac{q_\phi(z|x)\,p_\theta(x)}{p_\theta(x,z)}\,dz \\"
        r" &= \int q_\phi(z|x) \left(\log p_\theta(x) + \log\frac{q_\phi(z|x)}{p_\theta(x,z)}\right) dz \\"
        r" &= \log p_\theta(x) + \int q_\phi(z|x) \log\frac{q_\phi(z|x)}{p_\theta(x|z)p(z)}\,dz \\"
        r" &= \log p_\theta(x) + \KL(q_\phi(z|x)\Vert p(z)) - \E_{q_\phi(z|x)}[\log p_\theta(x|z)] \end{align*}",
    ),
    Entry("kl-positive", COVER, r"D(q(z)\|p(z)) = \sum_z q(z)\log\frac{q(z)}{p(z)} \ge 0"),
    Entry(
        "gibbs-inequality",
        MACKAY,
        r"\sum_z q(z)\ln\frac{1}{q(z)} \le \sum_z q(z) \ln\frac{1}{p(z)}",
    ),
    Entry("log-bound", COVER, r"-\KL(q(z) \Vert p(z)) \le \int q(z)\left(\frac{p(z)}{q(z)} - 1\right)dz = 0"),
    Entry(
        "kl-joint",
        COVER,
        r"\mathrm{KL}(q(x,z)\,\|\,p(x,z)) = \mathrm{KL}(q(x)\,\|\,p(x)) + \E_{q(x)}\left[\mathrm{KL}(q(z|x)\,\|\,p(z|x))\right]",
    ),
    Entry("kl-factors", COVER, r"\mathrm{KL}(q(x,z)\|p(x,z)) \ge \mathrm{KL}(q(z)\|p(z))"),
    Entry("cross-entropy", COVER, r"H(q(z), p(z)) = H(q(z)) + D_{KL}(q(z)\,\|\,p(z))"),
    Entry("cross-entropy-bare", COVER, r"H(q, p) = -\sum_z q(z)\log p(z) = H(q) + \KL(q(z)\Vert p(z))"),
    Entry("entropy-chain", COVER, r"H(x,z) = H(x) + H(z|x) \le H(x) + H(z)"),
    Entry("entropy-sum", COVER, r"H[p(z)] = -\sum_z p(z)\log p(z) = \E_{p(z)}\left[\log\frac{1}{p(z)}\right]"),
    Entry("information", COVER, r"I(x;z) = H(z) - H(z|x) = H(x) + H(z) - H(x,z) \ge 0"),
    Entry(
        "information-kl",
        COVER,
        r"I(X;Z) = \mathbb{E}_{p(x,z)}\left[\log\frac{p(x,z)}{p(x)p(z)}\right] = D_{\mathrm{KL}}(p(x,z)\parallel p(x)p(z))",
    ),
    Entry("information-posterior", COVER, r"I(x;z) = \E_{p(x)}[\KL(p(z|x)\Vert p(z))]"),
    Entry(
        "elbo-surgery",
        HOFFMAN,
        r"\begin{aligned} \E_{p(x)}[\KL(q(z|x)\Vert p(z))] &= \E_{p(x)}\left[\KL(q(z|x)\Vert q(z))\right] + \KL(q(z)\Vert p(z))"
        r" \end{aligned}",
        (r"q(z) := \int q(z|x)p(x)\,dx",),
    ),
    Entry(
        "aggregate",
        HOFFMAN,
        r"\frac1N\sum_{n=1}^N \KL(q(z|x_n)\Vert p(z)) = \frac1N\sum_{n=1}^N \KL(q(z|x_n)\Vert q(z)) + \KL(q(z)\Vert p(z))",
        (r"q(z) := \frac1N\sum_{n=1}^N q(z|x_n)",),
    ),
    Entry(
        "variational-principle",
        WAINWRIGHT,
        r"\log p(x) = \max_{q} \left\{ \E_{q(z)}[\log p(x,z)] + H[q(z)] \right\}",
    ),
    Entry(
        "gibbs-principle",
        WAINWRIGHT,
        r"\log \E_{p(z)}\left[e^{f(z)}\right] = \sup_{q} \left\{\E_{q(z)}[f(z)] - \KL(q(z)\Vert p(z))\right\}",
    ),
    Entry(
        "optimal-q",
        BISHOP,
        r"q^\star(z) = \arg\max_q \E_{q(z)}\left[\log\frac{p(x,z)}{q(z)}\right] = p(z|x)",
    ),
    Entry("min-kl", BISHOP, r"\min_q \KL(q(z)\Vert p(z|x)) = 0"),
    Entry(
        "same-optimum",
        INTRODUCTION,
        r"\arg\max_{\phi} \E_{q_\phi(z|x)}\left[\log\frac{p_\theta(x,z)}{q_\phi(z|x)}\right]"
        r" = \arg\min_\phi \KL(q_\phi(z|x)\Vert p_\theta(z|x))",
    ),
    Entry(
        "restricted-family",
        COURSE,
        r"\max_{\theta,\phi} \E_{q_\phi(z|x)}\left[\log\frac{p_\theta(x,z)}{q_\phi(z|x)}\right] \le \max_\theta \log p_\theta(x)",
    ),
    Entry(
        "em-monotone",
        NEAL,
        r"\log p_{\theta'}(x) - \log p_\theta(x) \ge \E_{p_\theta(z|x)}[\log p_{\theta'}(x,z)] - \E_{p_\theta(z|x)}[\log p_\theta(x,z)]",
    ),
    Entry(
        "em-q-function",
        BISHOP,
        r"\ln p(\mathbf{X}|\boldsymbol\theta) = \sum_{\mathbf Z} q(\mathbf Z)\ln\frac{p(\mathbf X,\mathbf Z|\boldsymbol\theta)}{q(\mathbf Z)}"
        r" + \sum_{\mathbf Z} q(\mathbf Z) \ln \frac{q(\mathbf Z)}{p(\mathbf Z|\mathbf X,\boldsymbol\theta)}",
    ),
    Entry(
        "fisher-identity",
        MURPHY,
        r"\nabla_\theta \log p_\theta(x) = \frac{1}{p_\theta(x)}\int \nabla_\theta p_\theta(x,z)\,dz"
        r" = \E_{p_\theta(z|x)}\left[\nabla_\theta \log p_\theta(x,z)\right]",
    ),
    Entry(
        "score-zero",
        RANGANATH,
        r"\mathbb{E}_{q_\phi(z)}[\nabla_\phi \log q_\phi(z)] = \nabla_\phi \int q_\phi(z)\,dz = 0",
    ),
    Entry(
        "score-function",
        RANGANATH,
        r"\nabla_\phi \E_{q_\phi(z)}[f(z)] = \int f(z) \nabla_\phi q_\phi(z)\,dz = \E_{q_\phi(z)}\left[f(z)\,\nabla_\phi \log q_\phi(z)\right]",
    ),
    Entry(
        "baseline",
        RANGANATH,
        r"\nabla_\phi \E_{q_\phi(z|x)}[f(z)] = \E_{q_\phi(z|x)}\left[(f(z) - b(x))\,\nabla_\phi \log q_\phi(z|x)\right]",
    ),
    Entry(
        "bbvi",
        RANGANATH,
        r"\begin{split} \nabla_\lambda \mathcal{L} &= \E_q\left[\nabla_\lambda \log q(z|\lambda)\,(\log p(x,z) - \log q(z|\lambda))\right]"
        r" \end{split}",
        (r"\mathcal{L} := \E_{q(z|\lambda)}[\log p(x,z) - \log q(z|\lambda)]",),
    ),
    Entry(
        "gradient-theta",
        INTRODUCTION,
        r"\nabla_\theta \E_{q_\phi(z|x)}\left[\log p_\theta(x,z) - \log q_\phi(z|x)\right]"
        r" = \E_{q_\phi(z|x)}[\nabla_\theta \log p_\theta(x|z)]",
        (r"m := p(z)",),
    ),
    Entry(
        "iwae",
        BURDA,
        r"\E_{z_1,\dots,z_K \sim q(z|x)}\left[\log\frac1K\sum_{k=1}^K \frac{p(x,z_k)}{q(z_k|x)}\right]"
        r" \le \log \E_{z_1,\dots,z_K\sim q(z|x)}\left[\frac1K\sum_{k=1}^K \frac{p(x,z_k)}{q(z_k|x)}\right] = \log p(x)",
    ),
    Entry(
        "iwae-monotone",
        BURDA,
        r"\log p(x) \ge \mathcal{L}_{K+1} \ge \mathcal{L}_K \ge \mathcal{L}_1",
        (r"\mathcal{L}_K := \E_{z_{1:K}\sim q(z|x)}\left[\log\frac1K\sum_{k=1}^K \frac{p(x,z_k)}{q(z_k|x)}\right]",),
    ),
    Entry(
        "iwae-weights",
        BURDA,
        r"\mathcal{L}_K = \E_{\prod_{k=1}^K q(z_k)}\left[\log\frac{1}{K}\sum_{k=1}^{K} w_k\right] \le \log p(x)",
        (r"w_k := p(x,z_k)/q(z_k)",),
    ),
    Entry(
        "renyi",
        LI,
        r"\mathcal{L}_\alpha := \frac{1}{1-\alpha}\log\E_{q(z)}\left[\left(\frac{p(x,z)}{q(z)}\right)^{1-\alpha}\right]"
        r" = \log p(x) - D_\alpha(q(z)\|p(z|x))",
    ),
    Entry(
        "renyi-order",
        LI,
        r"\E_{q(z)}\left[\log\frac{p(x,z)}{q(z)}\right] \le \frac{1}{1-\alpha}\log\E_{q(z)}\left[\left(\frac{p(x,z)}{q(z)}\right)^{1-\alpha}\right]"
        r" \le \log p(x)",
        (r"\alpha \in (0,1)",),
    ),
    Entry(
        "cubo",
        DIENG,
        r"\mathrm{CUBO}_n := \frac{1}{n}\log\mathbb{E}_{q(z)}\left[\left(\frac{p(x,z)}{q(z)}\right)^n\right] \ge \log p(x)",
        (r"n > 1",),
    ),
    Entry(
        "cubo-two",
        DIENG,
        r"\frac12 \log \E_{q(z)}[w(z)^2] = \log p(x) + \frac{1}{2}\log\left(1 + \chi^2(p(z|x)\Vert q(z))\right)",
        WEIGHT,
    ),
    Entry(
        "eubo",
        COURSE,
        r"\E_{p(z|x)}\left[\log\frac{p(x,z)}{q(z)}\right] = \log p(x) + \KL(p(z|x)\Vert q(z)) \ge \log p(x)",
    ),
    Entry(
        "sandwich",
        COURSE,
        r"\E_{q(z)}[\log w(z)] \le \log p(x) \le \E_{p(z|x)}[\log w(z)]",
        WEIGHT,
    ),
    Entry(
        "mean-field-elbo",
        BISHOP,
        r"\begin{aligned} \E_{q(z_1,z_2)}\left[\log\frac{p(x,z_1,z_2)}{q(z_1,z_2)}\right]"
        r" &= \E_{q(z_1)}\left[\E_{q(z_2)}[\log p(x,z_1,z_2)] - \log q(z_1)\right] - \E_{q(z_2)}[\log q(z_2)]"
        r" \end{aligned}",
        (r"q(z_1,z_2) := q(z_1)q(z_2)",),
    ),
    Entry(
        "mean-field-constant",
        BISHOP,
        r"\log r(z_1) = \E_{q(z_2)}[\log p(x,z_1,z_2)] + \text{const}",
        (r"r(z_1) := \frac{\exp(\E_{q(z_2)}[\log p(x,z_1,z_2)])}{\sum_{z_1} \exp(\E_{q(z_2)}[\log p(x,z_1,z_2)])}",),
    ),
    Entry(
        "hierarchical",
        MURPHY,
        r"p(x) = \int\int p(x|z_1)\,p(z_1|z_2)\,p(z_2)\,dz_1\,dz_2",
        (r"p(x,z_1,z_2) := p(x|z_1)p(z_1|z_2)p(z_2)",),
    ),
    Entry(
        "markov-chain",
        MURPHY,
        r"\log p(x, z_{1:T}) = \log p(x|z_T) + \log p(z_1) + \sum_{t=2}^T \log p(z_t|z_{t-1})",
        (r"p(x,z_{1:T}) := p(x|z_T)p(z_1)\prod_{t=2}^T p(z_t|z_{t-1})",),
    ),
    Entry(
        "independent-data",
        BISHOP,
        r"\log p(x_{1:N}) = \log \prod_{n=1}^N p(x_n) = \sum_{n=1}^N \log p(x_n)",
        (r"p(x_{1:N}) := \prod_{n=1}^N p(x_n)",),
    ),
    Entry(
        "conditional",
        MURPHY,
        r"\log p(x|c) \ge \E_{q(z|x,c)}\left[\log p(x|z,c)\right] - \KL(q(z|x,c)\Vert p(z|c))",
    ),
    Entry(
        "two-latents",
        COURSE,
        r"\log p(x) \ge \E_{q(z,c)}\left[\log p(x|z,c)\right] - \E_{q(c)}[\KL(q(z|c)\Vert p(z|c))] - \KL(q(c)\Vert p(c))",
    ),
    Entry(
        "beta",
        "Higgins et al., beta-VAE (2017)",
        r"\E_{q(z|x)}[\log p(x|z)] - \beta\,\KL(q(z|x)\Vert p(z)) \le \log p(x)",
        (r"\beta > 1",),
    ),
    Entry(
        "self-normalised",
        OWEN,
        r"\E_{p(z|x)}[f(z)] = \frac{\E_{q(z)}[w(z)f(z)]}{\E_{q(z)}[w(z)]}",
        WEIGHT,
    ),
    Entry(
        "annealed",
        "Neal, Annealed importance sampling (2001)",
        r"\frac{d}{d\theta} \log \int p_\theta(x,z)\,dz = \int p_\theta(z|x) \frac{\partial}{\partial\theta}\log p_\theta(x,z)\,dz",
    ),
    Entry(
        "remarks",
        COURSE,
        r"\begin{align} \log p(x) &= \log p(x) \int q(z)\,dz && \text{since $q$ is normalised} \nonumber \\"
        r" &\stackrel{(a)}{=} \int q(z) \log p(x)\,dz \tag{2} \\"
        r" &\overset{\text{Bayes}}{=} \int {\color{red} q(z)} \log \frac{p(x,z)}{p(z|x)}\,dz, \quad \text{for every } x. \end{align}",
    ),
    Entry(
        "long-hand",
        COURSE,
        r"\begin{gather*} p(x) = \sum_z p(x,z) \\ p(z) = \sum_x p(x,z) \\ p(x|z) = \frac{p(x,z)}{p(z)} \end{gather*}",
    ),
    Entry(
        "continued",
        COURSE,
        r"\begin{align} \log p(x) &= \E_{q(z)}[\log p(x|z)] \\ &\qquad - \KL(q(z)\Vert p(z)) \\ &\qquad + \KL(q(z)\Vert p(z|x)) \end{align}",
    ),
    Entry("calligraphic", BISHOP, r"\mathcal{H}[q(\mathbf z)] = - \int q(\mathbf z)\log q(\mathbf z)\,d\mathbf z"),
    Entry("slash", OWEN, r"\int q(z)\,\bigl(p(x,z)/q(z)\bigr)\,dz = \int dz\, p(x|z)\,p(z) = p(x)"),
    Entry("root", COVER, r"\left(\int \sqrt{q(z)\,p(z)}\,dz\right)^2 \ge \exp(-\KL(q(z)\Vert p(z)))"),
    Entry("pinsker", COVER, r"2\,\mathrm{TV}(q(z)\Vert p(z))^2 \le \KL(q(z)\Vert p(z))"),
    Entry(
        "covariance",
        OWEN,
        r"\Cov_{q(z)}(f(z), g(z)) = \E_{q(z)}[f(z)g(z)] - \E_{q(z)}[f(z)]\,\E_{q(z)}[g(z)]",
    ),
    Entry("course-macros", COURSE, r"\ELBO(q) = \E_{q(z)}[\log p(x,z)] + \Entropy[q(z)] \le \log p(x)"),
    Entry("sampling", COURSE, r"z \sim p(z), \qquad x \sim p(x \mid z)"),
]
